# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From a checkpoint to the files of the protocols, with a toy model."""
import importlib.util
import json
from pathlib import Path

import cv2
import pytest
import torch
from helpers.fake_benchmarks import fake_aflw2000, fake_now
from helpers.toy_reconstructor import ToyFlame, toy_config
from mmengine.config import Config

from mmtvface.heads import share_settings
from mmtvface.registry import MODELS

REPO = Path(__file__).resolve().parents[2]
CONFIG = f"""
default_scope = 'mmtvface'
custom_imports = dict(imports=['helpers.toy_reconstructor'])
model = {toy_config(losses=None)!r}
test_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(type='ToyClips', length=3),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = [dict(type='LandmarkNME'), dict(type='Jitter'),
                  dict(type='IdentityDrift'), dict(type='VertexError'),
                  dict(type='MotionFidelity')]
test_cfg = dict()
visualizer = dict(type='Visualizer', vis_backends=[])
"""


@pytest.fixture
def model_files(tmp_path):
    """Config and checkpoint of a toy model."""
    config, checkpoint = tmp_path / 'toy.py', tmp_path / 'toy.pth'
    config.write_text(CONFIG)
    torch.manual_seed(0)
    model = MODELS.build(toy_config(losses=None))
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    return str(config), str(checkpoint)


def load_tool(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', REPO / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_test(folder, model_files, *options):
    assert load_tool('test').main([
        *model_files, '--work-dir', str(folder / 'work'), '--out-dir',
        str(folder / 'out'), *options]) == 0
    return json.loads((folder / 'out' / 'metrics.json').read_text())


def predict(folder, model_files, *options):
    code = load_tool('now_predict').main([
        *model_files, str(folder / 'now'), '--out', str(folder / 'meshes'),
        '--workers', '0', '--device', 'cpu', *options])
    path = folder / 'meshes' / 'report.json'
    return code, json.loads(path.read_text()) if path.exists() else None


def test_a_test_writes_numbers_table_and_charts(tmp_path, model_files,
                                                capsys):
    metrics = run_test(tmp_path, model_files, '--out',
                       str(tmp_path / 'own.json'))
    out = tmp_path / 'out'
    assert json.loads((tmp_path / 'own.json').read_text()) == metrics
    assert metrics['identity/clips'] == 3 and metrics['landmark/nme'] > 0
    assert metrics['identity/drift_mm'] > 0
    assert -1 < metrics['motion/yaw_corr'] < 1
    assert metrics['motion/jaw_amplitude'] > 0
    printed = capsys.readouterr().out
    table = (out / 'table.md').read_text()
    for name in metrics:
        assert f'| {name}' in table and name in printed
    charts = json.loads((out / 'curves.json').read_text())
    assert [chart['name'] for chart in charts] == [
        'landmark_nme_cumulative', 'landmark_nme_in_window',
        'landmark_nme_over_time', 'identity_drift_over_time']
    for chart in charts:
        assert cv2.imread(str(out / f'{chart["name"]}.png')).std() > 5
    # Each toy clip has a line of its own over its three frames.
    assert {len(line['x']) for line in charts[2]['lines'].values()} == {3}
    assert len(charts[2]['lines']) == 3


def test_another_test_set_by_an_option(tmp_path, model_files):
    fake_aflw2000(tmp_path / 'faces', yaws=(5, 50, 10))
    (tmp_path / 'faces' / 'image00006.jpg').write_bytes(b'')
    metrics = run_test(
        tmp_path, model_files, '--data',
        str(REPO / 'configs/_base_/datasets/aflw2000.py'), '--cfg-options',
        f'test_dataloader.dataset.data_root={tmp_path / "faces"}',
        'test_dataloader.num_workers=0')
    assert metrics['landmark/nme_yaw_0_30_frames'] == 1
    assert metrics['landmark/nme_yaw_30_60_frames'] == 1
    assert metrics['landmark/nme_skipped'] == 1
    # No image of the last bin, and so no balanced mean: null in JSON.
    assert metrics['landmark/nme_yaw_60_90'] is None
    assert metrics['landmark/nme_balanced'] is None
    assert (tmp_path / 'out' / 'landmark_nme_yaw.png').is_file()


def test_a_test_needs_no_training_data(tmp_path, model_files):
    """Not even with a hook that asks for the iteration, as in the configs."""
    with open(model_files[0], 'a') as file:
        file.write("""
train_dataloader = dict(
    batch_size=2, dataset=dict(
        type='FaceClipDataset', data_root='nowhere'),
    sampler=dict(type='InfiniteSampler'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=5)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='ConstantLR', by_epoch=False)
custom_hooks = [dict(type='FaceVisualizationHook', interval=1)]
visualizer = dict(type='Visualizer', vis_backends=[])
""")
    assert run_test(tmp_path, model_files)['landmark/nme'] > 0


def test_now_by_the_test_tool_and_by_its_own(tmp_path, model_files):
    """Both ways give the same meshes; the head is that of the model."""
    fake_now(tmp_path / 'now')
    metrics = run_test(
        tmp_path, model_files, '--data',
        str(REPO / 'configs/_base_/datasets/now.py'), '--cfg-options',
        f'test_dataloader.dataset.data_root={tmp_path / "now"}',
        'test_dataloader.num_workers=0',
        f'test_evaluator.0.out_dir={tmp_path / "exported"}')
    assert metrics == {'now/exported': 3, 'now/skipped': 0}
    code, report = predict(tmp_path, model_files, '--batch-size', '2')
    assert code == 0 and report['exported'] == 3
    key = 'predicted_meshes/FaMoS_1/selfie/IMG_0040'
    for suffix in ('.obj', '.npy'):
        assert ((tmp_path / 'exported' / f'{key}{suffix}').read_bytes() ==
                (tmp_path / 'meshes' / f'{key}{suffix}').read_bytes())
    text = (tmp_path / 'meshes' / f'{key}.obj').read_text().splitlines()
    flame = ToyFlame()
    assert sum(line.startswith('v ') for line in text) == len(flame.template)
    assert sum(line.startswith('f ') for line in text) == len(flame.faces)


def test_predictions_are_resumed(tmp_path, model_files, capsys):
    fake_now(tmp_path / 'now')
    predict(tmp_path, model_files)
    folder = tmp_path / 'meshes' / 'predicted_meshes'
    kept = folder / 'FaMoS_2/multiview_occlusions/IMG_0100.npy'
    lost = folder / 'FaMoS_1/selfie/IMG_0040.obj'
    before = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    code, report = predict(tmp_path, model_files)
    assert code == 0 and (report['exported'], report['kept']) == (1, 2)
    assert (lost.read_bytes(), kept.stat().st_mtime_ns) == before
    assert '1 exported, 2 were there already' in capsys.readouterr().out
    _, report = predict(tmp_path, model_files, '--overwrite')
    assert report['exported'] == 3


def test_meshes_of_two_models_are_not_mixed(tmp_path, model_files, capsys):
    fake_now(tmp_path / 'now')
    predict(tmp_path, model_files)
    lost = (tmp_path / 'meshes/predicted_meshes/FaMoS_1/selfie/IMG_0040.obj')
    lost.unlink()
    torch.manual_seed(1)
    model = MODELS.build(toy_config(losses=None))
    torch.save(dict(state_dict=model.state_dict()), model_files[1])
    code, _ = predict(tmp_path, model_files, '--overwrite')
    assert code == 2 and not lost.exists()
    assert 'meshes of another checkpoint' in capsys.readouterr().err
    (tmp_path / 'meshes').rename(tmp_path / 'old')
    code, report = predict(tmp_path, model_files)
    assert code == 0 and report['exported'] == 3
    code, _ = predict(tmp_path, model_files, '--crop-scale', '1.4')
    assert code == 2


def test_a_checkpoint_of_another_model_is_not_tested(tmp_path, model_files,
                                                     capsys):
    """Metrics of weights that are partly random would look like results."""
    state = torch.load(model_files[1], weights_only=True)['state_dict']
    name = next(iter(state))
    options = [*model_files, '--work-dir', str(tmp_path / 'work')]
    torch.save(dict(state_dict={key: value for key, value in state.items()
                                if key != name}), model_files[1])
    assert load_tool('test').main(options) == 2
    error = capsys.readouterr().err
    assert error.count('error: ') == 1 and f"such as '{name}'" in error
    Path(model_files[1]).write_bytes(b'hello')
    assert load_tool('test').main(options) == 2
    assert 'no checkpoint that can be read' in capsys.readouterr().err


def test_bad_images_are_reported(tmp_path, model_files):
    fake_now(tmp_path / 'now')
    pictures = tmp_path / 'now' / 'iphone_pictures'
    (pictures / 'FaMoS_1/selfie/IMG_0040.jpg').write_bytes(b'')
    (pictures / 'FaMoS_2/multiview_occlusions/IMG_0100.jpg').unlink()
    code, report = predict(tmp_path, model_files)
    assert code == 0 and report['images'] == 3 and report['exported'] == 1
    skipped = report['skipped']
    assert skipped['FaMoS_1/selfie/IMG_0040'] == (
        'the image cannot be used, see the warnings')
    assert 'no image' in skipped['FaMoS_2/multiview_occlusions/IMG_0100']


def test_wrong_input_is_one_sentence(tmp_path, model_files, capsys):
    code, report = predict(tmp_path, model_files)
    assert code == 2 and report is None
    error = capsys.readouterr().err
    assert error.startswith('error: data_root of NoWDataset is no folder')
    assert len(error.splitlines()) == 1
    tool = load_tool('test')
    (tmp_path / 'empty.py').write_text('x = 1\n')
    with pytest.raises(ValueError, match='empty.py has no test_dataloader'):
        tool.take_test_data(Config(), str(tmp_path / 'empty.py'))
    with pytest.raises(SystemExit):
        tool.parse_args([*model_files, '--data', 'missing.py'])
    assert 'no config file missing.py' in capsys.readouterr().err


def test_metrics_get_the_head_of_the_model():
    head = dict(type='flame', root='x')
    cfg = Config(dict(
        model=dict(head=head), val_evaluator=dict(type='IdentityGain'),
        test_evaluator=[
            dict(type='IdentityDrift'), dict(type='Jitter'),
            dict(type='IdentityDrift', head=dict(type='procedural')),
            dict(type='DetailNormalError')],
        train_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[
            dict(type='SynthTVDataset'), dict(type='FaceClipDataset')]))))
    share_settings(cfg)
    first, second, third, fourth = cfg.test_evaluator
    assert first.head == fourth.head == head
    assert third.head.type == 'procedural'
    assert 'head' not in second
    assert cfg.val_evaluator.head == head
    synthetic, files = cfg.train_dataloader.dataset.datasets
    assert synthetic.head == head and 'head' not in files


def test_resuming_without_a_checkpoint_begins_as_the_config_says(tmp_path):
    train = load_tool('train')
    for given, written, resume, start in (
            (None, True, False, 'phase1.pth'),
            ('auto', False, False, 'phase1.pth'),
            ('auto', True, True, None),
            ('other.pth', False, True, 'other.pth')):
        mark = tmp_path / 'last_checkpoint'
        mark.unlink(missing_ok=True)
        if written:
            mark.write_text(str(tmp_path / 'iter_3.pth'))
        cfg = Config(dict(work_dir=str(tmp_path), load_from='phase1.pth',
                          resume=False))
        train.resume_from(cfg, given)
        assert (cfg.resume, cfg.load_from) == (resume, start), given
