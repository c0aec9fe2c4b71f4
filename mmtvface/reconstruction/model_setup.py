# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Build a reconstructor from a config and fill it from a checkpoint."""

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmtvface.heads import share_settings
from mmtvface.heads.old_spelling import rename_old_weights
from mmtvface.registry import MODELS, SCOPE
from mmtvface.utils.assets import require_file
from mmtvface.utils.checks import check_count
from mmtvface.utils.packaged_model import (
    PACKAGED_NAME,
    packaged_model,
    packaged_models,
)
from mmtvface.utils.safe_torch import allow_safe_globals

DEFAULT_SCALE = 1.6
DEFAULT_CLIP_LENGTH = 5
# The packaged model's gates remember for a second or two: with these, a track
# in clips is the track in one piece to 0.2 mm.
STREAM_LENGTH, STREAM_AHEAD = 40, 80


@dataclass(frozen=True)
class CropSettings:
    """How the model was trained to see faces.

    Attributes:
        clip_length: Frames per clip.
        image_size: Side of the crop in pixels.
        scale: Side of the crop relative to the landmark box.
        overlap: Frames that clips have in common, or that a model that
            remembers sees ahead; None: by :meth:`windows`.
        stated: ``clip_length`` was stated for reconstruction, not only for
            a data set.
    """

    clip_length: int
    image_size: int
    scale: float
    overlap: int | None = None
    stated: bool = False

    def windows(self, remembers: bool) -> tuple[int, int]:
        """Frames per clip, and how many it has in common with the next.

        Args:
            remembers: The model goes through a track and remembers what was
                before; the second number is how far it looks ahead then.

        Raises:
            ValueError: If clips that overlap would not advance.
        """
        length, overlap = self.clip_length, self.overlap
        if length == 1:
            return 1, 0
        if remembers:
            if not self.stated:
                length = STREAM_LENGTH
            return length, STREAM_AHEAD if overlap is None else overlap
        overlap = length // 2 if overlap is None else overlap
        if overlap >= length:
            raise ValueError(f'Clips of {length} frames cannot have '
                             f'{overlap} frames in common with the next.')
        return length, overlap


def load_config(config: str | os.PathLike | Config) -> Config:
    """Read a config file unless it is read already; its parts share a head.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no model.
    """
    name = 'The config'
    if not isinstance(config, Config):
        path = require_file(config, 'Config', 'See the folder configs/.')
        config, name = Config.fromfile(path), str(path)
    else:
        config = copy.deepcopy(config)
    if 'model' not in config:
        raise ValueError(f"{name} has no 'model'; it has {sorted(config)}.")
    share_settings(config)
    return config


def choose_model(config: str | os.PathLike | Config | None,
                 checkpoint: str | os.PathLike | None
                 ) -> tuple[str | os.PathLike | Config, str | os.PathLike]:
    """A config with its checkpoint: those given, or a packaged model's.

    Args:
        config: Config, or the name of a packaged model; None: the default.
        checkpoint: Of a config.

    Raises:
        FileNotFoundError: If the package lacks its model.
        ValueError: If only one of them is given, or the packaged weights are
            damaged.
    """
    names = packaged_models()
    if checkpoint is None and (config is None or (
            isinstance(config, str) and config in names)):
        model = packaged_model(name=config or PACKAGED_NAME)
        return model.config, model.checkpoint
    if config is None or checkpoint is None:
        given = 'checkpoint' if config is None else 'config'
        raise ValueError(
            f'Only the {given} is given. Give config and checkpoint, which '
            'belong together, the name of a model of the package '
            f'({", ".join(names)}), or neither for the default.')
    return config, checkpoint


def crop_settings(config: Config, clip_length: int | None = None,
                  scale: float | None = None,
                  overlap: int | None = None) -> CropSettings:
    """Clip length and crop from a config, unless given.

    ``reconstruction = dict(clip_length=, overlap=)`` of a config comes first.
    Else they are those of the first of the test, validation and training
    datasets that states them; a range of scales counts as its middle. Without
    any: 5 frames, the model's ``image_size`` or 224, and 1.6, which are the
    datasets' own defaults.
    """
    windows = config.get('reconstruction') or {}
    if clip_length is None:
        clip_length = windows.get('clip_length')
    overlap = windows.get('overlap') if overlap is None else overlap
    for name, value, least in (('clip_length', clip_length, 1),
                               ('overlap', overlap, 0)):
        if value is not None:
            check_count(name, value, least)
    datasets = [
        config[name]['dataset']
        for name in ('test_dataloader', 'val_dataloader', 'train_dataloader')
        if isinstance(config.get(name), Mapping) and 'dataset' in config[name]
    ]

    def find(key: str, default: Any) -> Any:
        # A crop is stated by the data set or in its pipeline.
        places = [place for data in datasets
                  for place in (data, *(data.get('pipeline') or ()))
                  if isinstance(place, Mapping)]
        return next((place[key] for place in places
                     if place.get(key) is not None), default)

    if scale is None:
        scale = find('scale', DEFAULT_SCALE)
        if not isinstance(scale, int | float):
            scale = sum(scale) / len(scale)
    return CropSettings(
        clip_length or int(find('clip_length', DEFAULT_CLIP_LENGTH)),
        int(find('image_size', config.model.get('image_size', 224))),
        float(scale), overlap, bool(clip_length))


def build_model(config: Config, checkpoint: str | os.PathLike,
                device: str | torch.device) -> nn.Module:
    """Build the model of a config with the weights of a checkpoint.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is no checkpoint, or not of this model.
    """
    path = require_file(
        checkpoint, 'Checkpoint', 'Train one with tools/train.py.')
    # mmengine builds some parts from its own root, where types without a
    # scope are only found by this one.
    scope = config.get('default_scope', SCOPE)
    settings = dict(config.model)
    if 'losses' in settings:
        # They may read files that only training needs.
        settings['losses'] = None
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(settings)
    load_weights(model, path)
    return model.to(device).eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a model from a checkpoint without running code from it.

    Weights of losses may be missing on either side, all others must fit.

    Raises:
        ValueError: If the file cannot be read safely, or does not fit; the
            message says what is missing or differs.
    """
    try:
        allow_safe_globals()
        content = torch.load(path, map_location='cpu', weights_only=True)
    # A damaged file makes torch.load raise errors of many kinds.
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        raise ValueError(
            f'{path} is no checkpoint that can be read safely '
            f'({reason[0]}). It must be a .pth file written in training; '
            'copy it again if it was cut off.') from error
    state = content.get('state_dict', content) if isinstance(
        content, Mapping) else {}
    state = {key.removeprefix('module.'): value
             for key, value in state.items()
             if isinstance(value, torch.Tensor)}
    rename_old_weights(state)
    expected = {key: value for key, value in model.state_dict().items()
                if not key.startswith('losses.')}
    missing = [key for key in expected if key not in state]
    other = [f'{key} is {tuple(state[key].shape)} instead of '
             f'{tuple(value.shape)}' for key, value in expected.items()
             if key in state and state[key].shape != value.shape]
    if missing or other:
        detail = [f'{len(missing)} of {len(expected)} weights are missing, '
                  f"such as '{missing[0]}'"] if missing else []
        detail += [f'{len(other)} differ in shape: {other[0]}'] if (
            other) else []
        raise ValueError(f'{path} does not fit the model of the config: '
                         f'{"; ".join(detail)}. Use the config it was '
                         'trained with.')
    # What the model does not know is passed on: a part may refuse it.
    model.load_state_dict({key: value for key, value in state.items()
                           if not key.startswith('losses.')}, strict=False)


def on_cpu(part: nn.Module) -> nn.Module:
    """A part of a model on the CPU, the same object if it is there already."""
    tensors = [*part.buffers(), *part.parameters()]
    if all(tensor.device.type == 'cpu' for tensor in tensors):
        return part
    return copy.deepcopy(part).cpu()


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, by default the first GPU, else the CPU.

    Raises:
        ValueError: If there is no such device.
    """
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    # The kinds of errors differ between builds of torch.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"The device '{device}' cannot be used: {reason}. "
                         "Use 'cpu', or 'cuda' on a machine with an NVIDIA "
                         'GPU and a CUDA build of torch.') from error
    return device
