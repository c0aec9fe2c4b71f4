# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A small model as users have it: a config and a checkpoint."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtvface.registry import MODELS

from .fake_datasets import clip_pipeline
from .toy_reconstructor import toy_config, toy_rendering


def write_model(folder: Path) -> tuple[Config, Path]:
    """Config and checkpoint of a small random model that reads its input."""
    torch.manual_seed(0)
    parts = toy_rendering()
    parts['renderer']['rasterizer'] = 'auto'  # many pictures are drawn
    config = Config(dict(
        model=toy_config(
            data_preprocessor=dict(type='FaceClipDataPreprocessor'),
            **parts),
        test_dataloader=dict(dataset=dict(
            type='FaceClipDataset', clip_length=3, image_size=32,
            pipeline=clip_pipeline(scale=(1.4, 1.6))))))
    with DefaultScope.overwrite_default_scope('mmtvface'):
        model = MODELS.build(config.model)
    for parameter in model.regressor.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        model.regressor.layers[2].bias[-30] = 8.  # the camera's scale
    path = folder / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=1)), path)
    return config, path
