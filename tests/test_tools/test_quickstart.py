# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import quickstart
from mmengine.config import Config
from setup_steps import quick_input

from mmtvface.registry import DATASETS

REPO = Path(__file__).resolve().parents[2]
CONFIG = REPO / 'configs' / quickstart.CONFIG


@pytest.fixture
def toy(tmp_path):
    """A config file for the logic around the training."""
    path = tmp_path / 'toy.py'
    path.write_text('lr = 1\n')
    return path


class FakeTraining:
    """Takes the place of tools/train.py: leaves a checkpoint, or fails."""

    def __init__(self):
        self.calls, self.fail = [], False

    def __call__(self, arguments, log, label):
        self.calls.append([str(a) for a in arguments])
        folder = log.parent
        (folder / 'iter_7.pth').write_text('weights')
        (folder / 'last_checkpoint').write_text('/moved/from/iter_7.pth')
        if self.fail:
            raise quickstart.QuickstartError('killed')


@pytest.fixture
def training(monkeypatch):
    fake = FakeTraining()
    monkeypatch.setattr(quickstart, 'run_tool', fake)
    return fake


def test_a_finished_training_is_reused(toy, tmp_path, training):
    first = quickstart.train(toy, tmp_path / 'w', 5.)
    assert first == tmp_path / 'w' / 'iter_7.pth'
    assert quickstart.train(toy, tmp_path / 'w', 5.) == first
    assert len(training.calls) == 1
    limit = training.calls[0][training.calls[0].index('--max-minutes') + 1]
    assert 4 < float(limit) < 5


def test_an_interrupted_training_is_resumed(toy, tmp_path, training):
    training.fail = True
    with pytest.raises(quickstart.QuickstartError):
        quickstart.train(toy, tmp_path / 'w', 5.)
    training.fail = False
    quickstart.train(toy, tmp_path / 'w', 5.)
    assert '--resume' not in training.calls[0]
    assert training.calls[1][-2:] == [
        '--resume', str(tmp_path / 'w' / 'iter_7.pth')]


def test_another_config_is_trained_anew(toy, tmp_path, training):
    quickstart.train(toy, tmp_path / 'w', 5.)
    (tmp_path / 'w' / 'old.txt').write_text('')
    toy.write_text('lr = 2\n')
    quickstart.train(toy, tmp_path / 'w', 5.)
    assert len(training.calls) == 2
    assert '--resume' not in training.calls[1]
    assert not (tmp_path / 'w' / 'old.txt').exists()


def test_an_interrupted_deletion_is_continued(
        toy, tmp_path, training, monkeypatch):
    folder = tmp_path / 'w'
    quickstart.train(toy, folder, 5.)
    (folder / 'vis_data').mkdir()
    toy.write_text('lr = 2\n')

    def interrupt(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(quickstart.shutil, 'rmtree', interrupt)
        with pytest.raises(KeyboardInterrupt):
            quickstart.train(toy, folder, 5.)
    quickstart.train(toy, folder, 5.)
    assert not (folder / 'vis_data').exists()
    assert '--resume' not in training.calls[-1]


def test_a_repeated_training_is_unfinished_until_its_end(
        toy, tmp_path, training):
    (quickstart.train(toy, tmp_path / 'w', 5.)).unlink()
    training.fail = True
    with pytest.raises(quickstart.QuickstartError):
        quickstart.train(toy, tmp_path / 'w', 5.)
    training.fail = False
    quickstart.train(toy, tmp_path / 'w', 5.)
    assert '--resume' in training.calls[-1] and len(training.calls) == 3


@pytest.mark.parametrize('note', [None, '', '{"finished": tr', '[]', '{}'])
def test_folders_of_others_are_never_deleted(toy, tmp_path, training, note):
    folder = tmp_path / 'data' / 'train'
    (folder / 'id00001').mkdir(parents=True)
    if note is not None:
        (folder / 'quickstart.json').write_text(note)
    with pytest.raises(quickstart.QuickstartError, match='in the way'):
        quickstart.train(toy, folder, 5.)
    assert (folder / 'id00001').is_dir() and not training.calls


def test_the_clip_follows_the_test_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(
        DATASETS, 'build', lambda config: [{'seed': config['seed']}])
    written = []

    def write(item, folder):
        written.append((item['seed'], (folder / 'serial.npy').exists()))
        (folder / 'serial.npy').write_bytes(b'')

    monkeypatch.setattr('mmtvface.datasets.synthetic.write_clip_folder',
                        write)
    config, clip = tmp_path / 'toy.py', tmp_path / 'clip'
    for seed, lr in ((1, 1), (1, 2), (2, 2)):
        config.write_text(f'lr = {lr}\n'
                          f'test_dataloader = dict(dataset=dict(seed={seed}))')
        assert quickstart.held_out_clip(config, clip) == clip
    # again for another dataset only, and not on top of the old clip
    assert written == [(1, False), (2, False)]


def test_the_detector_is_closed_and_skips_the_slow_search(
        tmp_path, monkeypatch, capsys):
    made = []

    class Detector:
        def __init__(self):
            self.video, self.seen, self.closed = True, 0, False
            made.append(self)

        def update(self, image, cut):
            self.video, self.seen = not cut, self.seen + 1
            return []

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.closed = True

    monkeypatch.setattr('mmtvface.tracking.face_tracker.FaceTracker',
                        Detector)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.zeros((8, 8, 3), np.uint8))
    for path in (tmp_path, tmp_path / '0.png'):
        with pytest.raises(quickstart.QuickstartError, match='No face'):
            quickstart.check_input(path)
        assert 'looking for a face' in capsys.readouterr().out
    assert [(d.video, d.seen, d.closed) for d in made] == [
        (True, 3, True), (False, 1, True)]


def test_metrics_are_measured_once_per_checkpoint(
        toy, tmp_path, monkeypatch):
    calls, out = [], tmp_path / 'test' / 'metrics.json'
    out.parent.mkdir()
    checkpoint = tmp_path / 'iter_7.pth'
    checkpoint.write_text('weights')

    def measure(arguments, log, label):
        calls.append(arguments)
        out.write_text(json.dumps({'nme': len(calls)}))

    monkeypatch.setattr(quickstart, 'run_tool', measure)
    for _ in range(2):
        assert quickstart.test(toy, checkpoint, out) == {'nme': 1}
    (tmp_path / 'iter_9.pth').write_text('more weights')
    assert quickstart.test(toy, tmp_path / 'iter_9.pth', out) == {'nme': 2}


@pytest.mark.parametrize(('output', 'words'), [
    ('', 'starting'),
    ('Iter(train) [ 20/400]  lr: 1e-3  loss: 1.2500  loss_code: 1.0\n'
     'Iter(train) [ 40/400]  lr: 1e-3  loss: 0.7500  loss_code: 0.5\n',
     'iteration 40 of 400, loss 0.7500'),
    ('Iter(test) [ 3/32]  eta: 0:00:01', 'clip 3 of 32'),
])
def test_status_of_a_training(output, words):
    assert quickstart.training_status(output) == words


def test_a_failing_tool_is_named_with_its_last_line(tmp_path):
    tool = tmp_path / 'tool.py'
    tool.write_text('raise ValueError("the cause")\n')
    with pytest.raises(quickstart.QuickstartError) as error:
        quickstart.run_tool([tool], tmp_path / 'log', 'training')
    assert 'training failed (ValueError: the cause)' in str(error.value)
    assert str(tmp_path / 'log') in str(error.value)


def bad_inputs(folder):
    (folder / 'empty').mkdir()
    (folder / 'zero.png').write_text('')
    (folder / 'junk').mkdir()
    (folder / 'junk' / 'a.txt').write_text('words')
    (folder / 'broken.jpg').write_text('words')
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3))
    cv2.imwrite(str(folder / 'noise.png'), noise)


@pytest.mark.parametrize(('name', 'words'), [
    ('missing.mp4', 'no file or folder'), ('empty', 'is empty'),
    ('zero.png', 'is empty'), ('junk', 'has no images'),
    ('broken.jpg', 'No frame of'), ('noise.png', 'No face was found'),
])
def test_bad_inputs_stop_before_the_training(
        name, words, tmp_path, training, capsys):
    bad_inputs(tmp_path)
    code = quickstart.main([str(tmp_path / name), '--work-dir',
                            str(tmp_path / 'work')])
    error = capsys.readouterr().err
    assert code == 1 and not training.calls
    assert error.startswith('quickstart stopped: ') and words in error
    assert str(tmp_path / name) in error


def test_the_shell_command_checks_the_path_before_the_set_up(tmp_path):
    done = subprocess.run(
        ['bash', str(REPO / 'tools' / 'quickstart.sh'), 'no/such/video.mp4'],
        text=True, capture_output=True, timeout=10)
    assert done.returncode == 2 and not done.stdout
    assert 'no file or folder named "no/such/video.mp4"' in done.stderr


def test_the_whole_path_on_a_tiny_config(tmp_path, capsys):
    cfg = Config.fromfile(CONFIG)
    assert cfg.train_cfg.max_iters > 1
    tiny = tmp_path / 'tiny.py'
    tiny.write_text(f'''
_base_ = [{str(CONFIG)!r}]
train_cfg = dict(max_iters=1)
train_dataloader = dict(batch_size=1, num_workers=0,
                        persistent_workers=False)
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False,
                      dataset=dict(num_clips=1, num_identities=1))
test_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False,
                       dataset=dict(num_clips=2, num_identities=2))
model = dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=18))
''')
    work = tmp_path / 'work'
    arguments = ['--config', str(tiny), '--work-dir', str(work)]
    assert quickstart.main(arguments) == 0, capsys.readouterr().err
    frames = quickstart.CLIP_FRAMES
    assert len(list((work / 'meshes').glob('*.obj'))) == frames
    grid = cv2.imread(str(work / 'overlay_grid.png'))
    assert grid is not None and grid.std() > 0
    assert (work / 'overlay.mp4').stat().st_size > 0
    with np.load(work / 'codes.npz') as codes:
        assert len(codes.files) > 6
    metrics = json.loads((work / 'metrics.json').read_text())
    # Where nothing moves in the few clips, nothing can be followed.
    tested = {name: value for name, value in metrics['test'].items()
              if not name.startswith('motion/')}
    assert tested and all(np.isfinite(v) for v in tested.values())
    assert metrics['reconstruction']['frames'] == frames
    assert (work / 'head' / 'head_template.obj').is_file()
    # The second run repeats neither training nor test.
    log = (work / 'train' / 'train.log').read_text()
    tested = (work / 'test' / 'test.log').read_text()
    capsys.readouterr()
    assert quickstart.main(arguments) == 0
    assert 'already trained' in capsys.readouterr().out
    assert (work / 'train' / 'train.log').read_text() == log
    assert (work / 'test' / 'test.log').read_text() == tested


def test_the_model_of_the_package_is_tested_and_used(
        tmp_path, monkeypatch, capsys):
    # The test itself and the network's work are those of other tests.
    calls, order = [], []

    def measure(arguments, log, label):
        order.append('test')
        calls.append([str(a) for a in arguments])
        log.parent.mkdir(exist_ok=True)
        (log.parent / 'metrics.json').write_text('{"nme": 0.5}')

    def clip(config, folder):
        dataset = Config.fromfile(config).test_dataloader.dataset
        assert dataset.split == 'test' and dataset.data_root is None
        return folder

    def made(config, checkpoint, source, out):
        order.append(source.name)
        return dict(files={}, used=str(checkpoint), frames=str(source))

    monkeypatch.setattr(quickstart, 'run_tool', measure)
    monkeypatch.setattr(quickstart, 'held_out_clip', clip)
    monkeypatch.setattr(quickstart, 'reconstruct', made)
    work = tmp_path / 'work'
    for _ in range(2):
        assert quickstart.main(['--work-dir', str(work)]) == 0
    # The face of somebody real is there before the test takes its time.
    assert order[:3] == ['astronaut.jpg', 'clip', 'test']
    assert order.count('astronaut.jpg') == 2
    (tool, config, checkpoint, *rest), = calls  # measured once
    assert tool.endswith('test.py') and checkpoint.endswith('.pth')
    assert 'test_dataloader.dataset.num_clips=16' in rest
    metrics = json.loads((work / 'metrics.json').read_text())
    assert metrics['test'] == {'nme': 0.5}
    assert metrics['reconstruction'] == dict(
        used=checkpoint, frames=str(work / 'clip'))
    assert metrics['portrait']['frames'] == str(quickstart.PORTRAIT)
    assert not (work / 'train').exists()
    assert 'million parameters' in capsys.readouterr().out


def test_the_real_face_is_found_and_looks_like_one(tmp_path):
    config, checkpoint = quickstart.packaged()
    made = quickstart.reconstruct(config, checkpoint, quickstart.PORTRAIT,
                                  tmp_path)
    assert made['frames_reconstructed'] == 1
    # The mean head has 9 % here.
    assert made['landmark_nme']['mean'] < 0.05
    grid = cv2.imread(made['files']['grid'])
    assert grid is not None and grid.std() > 20


def test_the_notice_of_the_real_face():
    text = (REPO / 'data' / 'README.md').read_text()
    assert quickstart.PORTRAIT.stat().st_size < 100_000
    assert 'astronaut.jpg' in text and 'public domain' in text


@pytest.mark.parametrize(('config', 'missing', 'added'), [
    ("dict(type='TemporalResNet')", 'mmagic', True),
    ("dict(type='mmagic.BasicVSRNet')", 'mmcv', True),
    ("dict(type='TemporalResNet')", None, False),
    ("dict(type='LiteTemporalEncoder')", 'mmagic', False)])
def test_temporal_models_ask_for_more(config, missing, added, tmp_path,
                                      monkeypatch):
    path, asked = tmp_path / 'config.py', []
    path.write_text(f'model = dict(encoder={config})\n')
    find = quick_input.importlib.util.find_spec
    monkeypatch.setattr(quick_input.importlib.util, 'find_spec', lambda name:
                        None if name == missing else find(name))

    def run(command):
        asked.append(command[1:])
        return subprocess.CompletedProcess(command, len(asked) - 1)

    monkeypatch.setattr(quick_input.subprocess, 'run', run)
    quick_input.add_temporal(path)
    tool = str(REPO / 'tools' / 'bootstrap.sh')
    assert asked == ([[tool, 'temporal']] if added else [])
    if added:
        with pytest.raises(quickstart.QuickstartError, match='temporal'):
            quick_input.add_temporal(path)


@pytest.mark.parametrize(('arguments', 'train', 'minutes'), [
    ([], False, 5.), (['video.mp4'], False, 5.), (['--train'], True, 5.),
    (['--minutes', '2'], True, 2.), (['--config', 'a.py'], True, 5.)])
def test_training_is_asked_for(arguments, train, minutes):
    args = quickstart.parse_args(arguments)
    assert (args.train, args.minutes) == (train, minutes)


def test_default_input_is_held_out():
    cfg = Config.fromfile(CONFIG)
    assert cfg.test_dataloader.dataset.split == 'test'
    assert cfg.train_dataloader.dataset.split == 'train'
