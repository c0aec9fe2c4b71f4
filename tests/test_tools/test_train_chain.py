# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import train_chain
from helpers.toy_reconstructor import toy_clip, toy_topology
from mmengine.config import Config
from quickstart import QuickstartError

from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.structures import FaceClipSample
from mmtvface.visualization import detail_comparison

TOOLS = Path(train_chain.__file__).parent


@pytest.fixture
def stages(tmp_path):
    """Three config files for the logic around the trainings."""
    paths = []
    for stage in train_chain.STAGES:
        paths.append(tmp_path / f'{stage}.py')
        paths[-1].write_text(f"stage = '{stage}'\nlr = 1\n")
    return paths


class FakeTools:
    """Takes the place of the other tools: leaves their files, or fails."""

    def __init__(self):
        self.calls, self.fail = [], None

    def __call__(self, arguments, log, label):
        arguments = [str(a) for a in arguments]
        self.calls.append((log.parent.name, arguments))
        if label == 'testing':
            (log.parent / 'metrics.json').write_text('{"normal/gain": 0.5}')
            return
        (log.parent / 'iter_7.pth').write_text('weights')
        (log.parent / 'last_checkpoint').write_text('/moved/iter_7.pth')
        if self.fail == log.parent.name:
            raise QuickstartError('killed')

    def trained(self):
        names = [name for name, _ in self.calls]
        self.calls.clear()
        return names


@pytest.fixture
def tools(monkeypatch):
    fake = FakeTools()
    monkeypatch.setattr(train_chain, 'run_tool', fake)
    monkeypatch.setattr(train_chain, 'draw_picture', lambda *_: None)
    return fake


def arguments(stages, work, *more):
    return ['--configs', *map(str, stages), '--work-dir', str(work), *more]


def test_each_stage_starts_from_the_one_before(stages, tmp_path, tools):
    assert train_chain.main(arguments(stages, tmp_path / 'w')) == 0
    (_, first), (_, second), (_, third), (_, test) = tools.calls
    assert not any('load_from' in a for a in first)
    assert f'load_from={tmp_path}/w/pretrain/iter_7.pth' in second
    assert f'load_from={tmp_path}/w/coarse/iter_7.pth' in third
    assert str(tmp_path / 'w' / 'detail' / 'iter_7.pth') in test
    assert tools.trained() == ['pretrain', 'coarse', 'detail', 'test']


def test_what_is_finished_is_not_repeated(stages, tmp_path, tools, capsys):
    run = arguments(stages, tmp_path / 'w')
    assert train_chain.main(run) == 0 and len(tools.trained()) == 4
    assert train_chain.main(run) == 0 and tools.trained() == []
    assert 'normal/gain: 0.5' in capsys.readouterr().out


def test_an_interrupted_stage_is_resumed(stages, tmp_path, tools, capsys):
    run = arguments(stages, tmp_path / 'w')
    tools.fail = 'coarse'
    assert train_chain.main(run) == 1
    assert 'train_chain stopped: killed' in capsys.readouterr().err
    assert tools.trained() == ['pretrain', 'coarse']
    tools.fail = None
    assert train_chain.main(run) == 0
    _, again = tools.calls[0]
    assert again[again.index('--resume') + 1] == str(
        tmp_path / 'w' / 'coarse' / 'iter_7.pth')
    assert tools.trained() == ['coarse', 'detail', 'test']


def test_a_changed_stage_takes_those_after_it_along(stages, tmp_path, tools):
    run = arguments(stages, tmp_path / 'w')
    train_chain.main(run)
    tools.trained()
    stages[1].write_text("stage = 'coarse'\nlr = 2\n")
    train_chain.main(run)
    assert not any('--resume' in a for _, a in tools.calls)
    assert tools.trained() == ['coarse', 'detail', 'test']
    train_chain.main([*run, '--detail-options', 'lr=3'])
    assert all('lr=3' in a for _, a in tools.calls)
    assert tools.trained() == ['detail', 'test']


@pytest.mark.parametrize(('more', 'words'), [
    (('--people', '0'), '--people must be positive'),
    (('--configs', 'a.py', 'b.py', 'c.py'), 'no config file a.py')])
def test_wrong_arguments(stages, tmp_path, more, words, capsys):
    with pytest.raises(SystemExit):
        train_chain.parse_args(arguments(stages, tmp_path, *more))
    assert words in capsys.readouterr().err


def test_foreign_folders_are_left_alone(stages, tmp_path, tools, capsys):
    (tmp_path / 'w' / 'pretrain').mkdir(parents=True)
    (tmp_path / 'w' / 'pretrain' / 'thesis.txt').write_text('mine')
    assert train_chain.main(arguments(stages, tmp_path / 'w')) == 1
    assert 'is in the way' in capsys.readouterr().err
    assert not tools.calls


def in_process(arguments, log, label):
    """The tools without processes of their own, which take long to start."""
    path = Path(arguments[0])
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main([str(a) for a in arguments[1:]]) == 0


COMMON = '''
_base_ = [{config!r}]
small = dict(image_size=32, detail_size=32, clip_length=2, num_clips=2,
             num_identities=2, hair=False)
loader = dict(batch_size=2, num_workers=0, persistent_workers=False,
              dataset=small)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
train_cfg = dict(max_iters=1, val_interval=9)
param_scheduler = []
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
'''
MODEL = '''
encoder = dict(_delete_=True, type='ResNetEncoder', depth=18,
               base_channels=8)
model = dict(encoder=encoder, texture=dict(size=32), {detail}
             renderer=dict(image_size=32, uv_size=32), image_size=32)
'''
DETAIL = 'detail=dict(encoder=encoder, surface=dict(size=32)),'


def test_the_small_chain_from_end_to_end(tmp_path, monkeypatch, capsys):
    paths = []
    for stage, config in zip(train_chain.STAGES, train_chain.CONFIGS,
                             strict=True):
        paths.append(tmp_path / f'{stage}.py')
        paths[-1].write_text(
            COMMON.format(config=str(config)) + MODEL.format(
                detail=DETAIL if stage == 'detail' else ''))
    monkeypatch.setattr(train_chain, 'run_tool', in_process)
    # Formatting the logged configs takes longer than all the rest.
    monkeypatch.setattr(Config, 'pretty_text', 'a config')
    work = tmp_path / 'w'
    run = arguments(paths, work, '--people', '2')
    assert train_chain.main(run) == 0, capsys.readouterr().err
    metrics = json.loads((work / 'test' / 'metrics.json').read_text())
    assert metrics['normal/gain'] == pytest.approx(
        1 - metrics['normal/detail'] / metrics['normal/coarse'])
    weights = {stage: torch.load(
        work / stage / 'iter_1.pth', weights_only=True)['state_dict']
        for stage in ('coarse', 'detail')}
    shared = [key for key in weights['coarse'] if key.startswith('encoder.')]
    assert shared and all(
        torch.equal(weights['coarse'][key], weights['detail'][key])
        for key in shared)
    picture = cv2.imread(str(work / 'detail.jpg'))
    side = train_chain.PICTURE_SIZE
    assert picture.shape[:2] == (2 * side + 2, 4 * side + 6)
    assert picture.std() > 20


def sample(identity, depths, size=32):
    """Toy clip whose frames have waves of these depths (mm)."""
    item = toy_clip(num_frames=len(depths))
    truth = item['data_samples']
    truth.set_metainfo(dict(identity=identity))
    waves = torch.arange(size).float().mul(.8).sin().expand(1, size, size)
    truth.gt_displacement = torch.stack([1e-3 * d * waves for d in depths])
    truth.pred_displacement = torch.zeros_like(truth.gt_displacement)
    truth.pred_vertices = truth.gt_vertices
    truth.pred_cam = truth.gt_codes['cam']
    return item['inputs'].permute(0, 2, 3, 1).numpy(), truth


def test_the_most_wrinkled_people_are_shown():
    truths = [sample(name, depths)[1] for name, depths in (
        ('a', (.1, .9)), ('b', (.5, .2)), ('a', (2., .1)), ('c', (0., .3)))]
    assert detail_comparison.most_wrinkled(truths, 2) == [(2, 0), (1, 0)]
    assert len(detail_comparison.most_wrinkled(truths, 9)) == 3
    unnamed = [FaceClipSample(gt_displacement=truths[0].gt_displacement)] * 2
    assert len(detail_comparison.most_wrinkled(unnamed, 9)) == 2


def test_pictures_show_the_detail():
    renderer = MeshRenderer(toy_topology(), rasterizer='torch')
    surface = DetailSurface(toy_topology(), 32, 'torch', faceted=False)
    images, truth = sample('a', (1., 1.))

    def row():
        return detail_comparison.compare_detail(
            images[1], truth, 1, renderer, surface, surface, 64)

    picture, coarse, detail, true = row()
    assert all(part.shape == (64, 64, 3) for part in (picture, true))
    np.testing.assert_array_equal(picture, detail_comparison.fit_frame(
        images[1], 64, 64))
    # no displacement is no detail, the true one looks like the truth
    np.testing.assert_array_equal(coarse, detail)
    assert np.abs(true.astype(int) - coarse).max() > 10
    truth.pred_displacement = truth.gt_displacement
    np.testing.assert_array_equal(row()[2], true)
    assert (true[0, 0] == 255).all()
    grid = detail_comparison.detail_grid([row(), row()])
    assert grid.shape == (130, 262, 3)
    assert not np.array_equal(grid[:64], grid[66:])
    with pytest.raises(ValueError, match='no frame'):
        detail_comparison.detail_grid([])
