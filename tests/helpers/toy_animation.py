# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A whole reconstructor in files: config, weights, head model and clips.

Everything is of the real types but small, with and without a detail branch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtvface.registry import MODELS

from .toy_head import save_toy_head, toy_head
from .toy_pictures import POINTS, picture
from .toy_reconstructor import LAYOUT

NUM_DETAIL = 5
_PARTS = ('texture', 'renderer', 'detail')


class ModelFiles(NamedTuple):
    """Where a model lies."""

    config: Path
    checkpoint: Path


def toy_animation_config(head: Path,
                         parts: Sequence[str] = _PARTS) -> dict[str, Any]:
    """Config of a :class:`TemporalDECA` on a toy head of 60 vertices.

    Args:
        head: Folder of its files, see :func:`save_toy_head`.
        parts: Optional parts: 'texture', 'renderer', 'detail'.
    """
    optional = dict(
        texture=dict(type='ToyTexture'),
        renderer=dict(type='MeshRenderer', image_size=32,
                      uv_size=32, rasterizer='torch'),
        detail=dict(
            type='DetailBranch',
            encoder=dict(type='ResNetEncoder', depth=18, base_channels=4),
            regressor=dict(type='DetailHead', num_detail=NUM_DETAIL,
                      hidden_channels=8),
            decoder=dict(type='DetailDecoder', max_displacement=.005),
            surface=dict(type='DetailSurface', size=32)))
    return dict(
        type='TemporalDECA',
        encoder=dict(type='ResNetEncoder', depth=18, base_channels=4),
        regressor=dict(type='FLAMEHead', layout=LAYOUT, hidden_channels=8,
                  init_cam=(8., 0., 0.), init_std=.3,
                  code_scale=dict(cam=(.1, .01, .01), light=.1)),
        flame=dict(type='FLAME', num_shape=LAYOUT['shape'],
                   num_expression=LAYOUT['exp']),
        head=dict(type='flame', root=str(head)),
        image_size=32,
        **{name: optional[name] for name in parts})


def write_toy_model(folder: Path, parts: Sequence[str] = _PARTS,
                    seed: int = 0) -> ModelFiles:
    """Write a random model, its head and its config.

    Args:
        folder: Where to; it is made.
        parts: See :func:`toy_animation_config`.
        seed: Of the weights and of the head model.
    """
    save_toy_head(folder / 'head', toy_head(seed))
    config = Config(dict(
        custom_imports=dict(imports=['helpers.toy_reconstructor']),
        model=toy_animation_config(folder / 'head', parts)))
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmtvface'):
        model = MODELS.build(config.model)
    files = ModelFiles(folder / 'config.py', folder / 'weights.pth')
    # Config.dump formats its text, which takes seconds.
    files.config.write_text(''.join(
        f'{name} = {value!r}\n' for name, value in config.to_dict().items()),
        encoding='utf-8')
    torch.save(dict(state_dict=model.state_dict()), files.checkpoint)
    return files


def write_toy_clip(folder: Path, frames: int = 3,
                   faceless: Sequence[int] = ()) -> Path:
    """Write a clip folder of a white square that moves to the right.

    Args:
        folder: Where to; it is made.
        frames: How many.
        faceless: Numbers of frames, from 0, that cannot be read.

    Returns:
        The folder.
    """
    for name in ('jpg', 'kpt'):
        (folder / name).mkdir(parents=True)
    for index in range(frames):
        left, stem = 40 + 3 * index, f'{index + 1:03d}'
        path = folder / 'jpg' / f'{stem}.jpg'
        cv2.imwrite(str(path), picture(left))
        if index in faceless:
            path.write_bytes(b'broken')
        np.save(folder / 'kpt' / f'{stem}_kpt2d.npy',
                POINTS * 39 + [left, 30])
    return folder
