# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""mmtvface's parts in configs of mmagic's scope, trained by its runtime."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.head_codes import head_codes, write_codes
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmtvface.datasets import SyntheticFaceClipDataset
from mmtvface.datasets.transforms import AddFlameCondition
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.models.restorers import ConditionedRestorer

REPO = Path(__file__).resolve().parents[2]
CONDITION = (REPO / 'configs' / 'mmagic' /
             'basicvsr-pp_flame-normals_1xb2-100k_face-frames.py')
PLAIN = """
_base_ = 'mmagic::_base_/default_runtime.py'
custom_imports = dict(imports=['mmtvface.models', 'mmtvface.datasets',
                               'mmtvface.evaluation'])
layout = dict(shape=4, tex=3, exp=3)
model = dict(
    type='mmtvface.TemporalDECA',
    encoder=dict(type='mmtvface.ResNetEncoder', depth=18, base_channels=4),
    regressor=dict(type='mmtvface.FLAMEHead', layout=layout),
    flame=dict(type='mmtvface.FLAME', num_shape=4,
               num_expression=3),
    losses=dict(landmark=dict(type='mmtvface.LandmarkLoss')))
loader = dict(
    num_workers=0, batch_size=2, collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmtvface.SyntheticFaceClipDataset', num_clips=2,
                 clip_length=2, image_size=32, num_identities=2))
train_dataloader = loader
val_dataloader = loader
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg = dict(type='ValLoop')
val_evaluator = [dict(type='mmtvface.LandmarkNME')]
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
default_hooks = dict(checkpoint=dict(save_best=None))
custom_hooks = []
"""


@pytest.fixture(autouse=True)
def mmagic_scope():
    """Also takes back the scope that the runner sets."""
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield


def run(cfg, folder):
    cfg.work_dir = cfg.default_hooks.checkpoint.out_dir = str(folder / 'out')
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'ERROR'
    assert cfg.default_scope == 'mmagic'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_reconstructor_in_a_plain_mmagic_config(tmp_path):
    path = tmp_path / 'plain.py'
    path.write_text(PLAIN)
    runner = run(Config.fromfile(path), tmp_path)
    assert type(runner.model) is TemporalDECA
    assert type(runner.train_dataloader.dataset) is SyntheticFaceClipDataset
    assert runner.message_hub.get_scalar('train/loss_landmark').current() > 0
    assert runner.message_hub.get_scalar('val/landmark/nme').current() > 0
    assert (tmp_path / 'out' / 'iter_2.pth').is_file()


def write_frames(folder):
    """A turning head, 256 x 256, and small blurred pictures of it."""
    yaw = [-.4, .4]
    names = [f'{i:08d}' for i in range(2)]
    codes = write_codes(folder / 'codes' / 'a' / 'codes.npz', head_codes(
        names, yaw, [(128, 120)] * 2, [900] * 2, [1, 1], (256, 256)))
    drawn = AddFlameCondition(codes).draw(
        [f'a/{name}.png' for name in names], (256, 256))
    for part in ('train', 'val'):
        for name, image in zip(names, drawn, strict=True):
            gray = np.repeat(image[..., 2:], 3, -1)
            small = cv2.resize(cv2.GaussianBlur(gray, (0, 0), 8), (64, 64))
            for kind, picture in (('gt', gray), ('lq', small)):
                place = folder / part / kind / 'a'
                place.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(place / f'{name}.png'), picture)


def test_restorer_learns_with_rendered_normals(tmp_path):
    write_frames(tmp_path)
    cfg = Config.fromfile(CONDITION)
    cfg.model.generator.restorer.update(mid_channels=8, num_blocks=1)
    cfg.model.generator.restorer_pretrained = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, batch_size=1, persistent_workers=False)
        loader.dataset.update(data_root=str(tmp_path), num_input_frames=2)
        step = loader.dataset.pipeline[3]
        assert step.type == 'mmtvface.AddFlameCondition'
        step.codes = f'{tmp_path}/codes/{{clip}}/codes.npz'
    cfg.train_cfg.update(max_iters=8, val_interval=8)
    cfg.optim_wrapper.optimizer.lr = 3e-3
    runner = run(cfg, tmp_path)
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    generator = runner.model.generator
    assert type(generator) is ConditionedRestorer
    assert type(generator.restorer).__module__.startswith('mmagic.')
    assert losses[-1] < losses[0], losses
    # The hint began as zero and reads the normals.
    moments = runner.optim_wrapper.optimizer.state[generator.hint[0].weight]
    assert moments['exp_avg'][:, 3:].abs().max() > 0
    assert generator.hint[-1].weight.abs().max() > 0
    assert runner.message_hub.get_scalar('val/PSNR').current() > 5
    inputs = next(iter(runner.train_dataloader))['inputs'][0]
    assert inputs.shape == (2, 6, 64, 64) and inputs[:, 3:].max() > 200


def test_begins_as_the_restorer_alone():
    torch.manual_seed(0)
    restorer = dict(type='BasicVSRPlusPlusNet', mid_channels=8, num_blocks=1)
    model = ConditionedRestorer(restorer, condition_channels=2)
    model.init_weights()
    clips = torch.rand(1, 1, 5, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            model(clips), model.restorer(clips[:, :, :3]))
        model.hint[-1].bias += .25
        torch.testing.assert_close(
            model(clips), model.restorer(clips[:, :, :3] + .25))
    with pytest.raises(ValueError, match=r'clips must have .*5.*64, 64\)'):
        model(clips[:, :, :3])
