# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Conversions from file to file, each proved by loading the result."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmtvface.models.losses.vggface2_resnet import (
    VGGFace2ResNet50,
    load_vggface2_weights,
)
from mmtvface.utils.assets import require_file
from mmtvface.utils.safe_torch import allow_safe_globals, load_torch
from mmtvface.utils.setup_env import register_all_modules

from .basicvsrpp import (
    check_encoder,
    convert_basicvsrpp,
    encoder_options,
    inspect_basicvsrpp,
)
from .deca import (
    DecaFacts,
    convert_deca,
    deca_notes,
    deca_overrides,
    inspect_deca,
)
from .report import ConversionReport
from .spynet import convert_spynet
from .target_model import (
    build_target,
    check_loads,
    expected_tensors,
    provenance,
    save_checkpoint,
    with_options,
)
from .vggface2 import convert_vggface2

DECA_REMEDY = (
    'DECA gives deca_model.tar on its project page, '
    'https://github.com/yfeng95/DECA.')
CONFIGS = {
    (False, False): 'configs/deca/deca_r50_1xb2-coarse_face-clips.py',
    (False, True): 'configs/deca/deca_r50_1xb2-detail_face-clips.py',
    (True, False): 'configs/temporal_deca/'
    'temporal-deca_r50_1xb2-coarse_face-clips.py',
    (True, True): 'configs/temporal_deca/'
    'temporal-deca_r50_1xb2-detail_face-clips.py',
}
INIT_CONFIG = ('configs/temporal_deca/'
               'temporal-deca_r50_1xb2-pretrain_face-clips.py')


@dataclass(frozen=True)
class Conversion:
    """Converted weights before they are written.

    Attributes:
        source: The converted file.
        kind: What was converted.
        state: Tensors by their new names.
        report: What became of every tensor.
        model: The model that took the weights; None if they are for a part
            that has no config.
        config: Of that model, with all overrides.
    """

    source: Path
    kind: str
    state: Mapping[str, torch.Tensor]
    report: ConversionReport
    model: nn.Module | None = None
    config: Config | None = None

    def save(self, path: str | os.PathLike) -> Path:
        """Write the checkpoint, see :func:`save_checkpoint`."""
        meta = provenance(self.source, self.kind, self.report)
        return save_checkpoint(path, self.state, meta)


def read_checkpoint(path: str | os.PathLike, what: str,
                    remedy: str = '') -> Any:
    """Read a checkpoint without running code from it."""
    allow_safe_globals()
    return load_torch(path, what, remedy)


def read_config(path: str | os.PathLike) -> Config:
    """Read the config of a model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no model.
    """
    path = require_file(path, 'Config', 'See the folder configs/.')
    config = Config.fromfile(path)
    if 'model' not in config:
        raise ValueError(f"{path} has no 'model', but {sorted(config)}.")
    return config


def deca_config(facts: DecaFacts) -> str:
    """Config for a checkpoint, relative to the repository."""
    return CONFIGS[facts.temporal, facts.has_detail_encoder]


def convert_deca_file(path: str | os.PathLike,
                      config: Callable[[DecaFacts], Config],
                      options: Mapping[str, Any] | None = None
                      ) -> Conversion:
    """Convert a checkpoint of DECA or the temporal DECA.

    Args:
        path: ``deca_model.tar`` or a checkpoint of a training.
        config: Gives the config for what was found in the file.
        options: Changes of that config, as of ``--cfg-options``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the file is no such checkpoint or does not fit.
    """
    path = require_file(path, 'DECA checkpoint', DECA_REMEDY)
    content = read_checkpoint(path, 'DECA checkpoint', DECA_REMEDY)
    facts = inspect_deca(content, path.name)
    register_all_modules()
    target = with_options(config(facts), options or {})
    overrides = deca_overrides(facts, target.model)
    target = with_options(target, overrides)
    model = build_target(target)
    state, report = convert_deca(content, expected_tensors(model), path.name,
                                 overrides)
    report = report.with_notes(*deca_notes(facts, target.model))
    complete = not any(key.startswith('detail.') and key not in state
                       for key in expected_tensors(model))
    check_loads(model, state, complete)
    kind = 'temporal DECA' if facts.temporal else 'DECA'
    return Conversion(path, kind, state, report, model, target)


def convert_basicvsrpp_file(path: str | os.PathLike,
                            config: Config,
                            options: Mapping[str, Any] | None = None,
                            weights: str | None = None,
                            adapt: bool = False) -> Conversion:
    """Convert a checkpoint of BasicVSR++ to the beginning of an encoder.

    Args:
        path: A checkpoint of mmagic or mmediting.
        config: Config with a ``TemporalResNet``.
        options: Changes of that config, as of ``--cfg-options``.
        weights: ``'generator'``, ``'generator_ema'`` or None for the moving
            average where there is one.
        adapt: Change the config's propagation to that of the file, instead
            of refusing the file; the changes are the report's overrides.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the file is no such checkpoint or does not fit.
    """
    path = require_file(path, 'BasicVSR++ checkpoint', 'See the model zoo of '
                        'mmagic, https://github.com/open-mmlab/mmagic.')
    content = read_checkpoint(path, 'BasicVSR++ checkpoint')
    facts = inspect_basicvsrpp(content, weights, path.name)
    register_all_modules()
    target = with_options(config, options or {})
    overrides = {}
    if adapt:
        other = encoder_options(facts, target.model.encoder)
        overrides = {f'model.encoder.{key}': value
                     for key, (_, value) in other.items()}
        # SPyNet comes with the file.
        if target.model.encoder.get('spynet_pretrained'):
            overrides['model.encoder.spynet_pretrained'] = None
        target = with_options(target, overrides)
    check_encoder(facts, target.model.encoder)
    model = build_target(target)
    state, report = convert_basicvsrpp(
        content, expected_tensors(model), facts.weights, path.name, overrides)
    if target.model.encoder.get('spynet_pretrained'):
        report = report.with_notes(
            'SPyNet is included: model.encoder.spynet_pretrained=None saves '
            'you its file.')
    check_loads(model, state, complete=False)
    return Conversion(path, 'BasicVSR++', state, report, model, target)


def convert_spynet_file(path: str | os.PathLike,
                        prefix: str | None = None) -> Conversion:
    """Take SPyNet out of a file.

    Args:
        path: OpenMMLab's SPyNet or a checkpoint with one in it.
        prefix: See :func:`convert_spynet`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no SPyNet in it, or not one alone.
    """
    path = require_file(path, 'SPyNet checkpoint', '')
    content = read_checkpoint(path, 'SPyNet checkpoint')
    state, report = convert_spynet(content, prefix, path.name)
    return Conversion(path, 'SPyNet', state, report)


def convert_vggface2_file(path: str | os.PathLike) -> Conversion:
    """Convert the weights of VGGFace2's ResNet-50.

    Args:
        path: ``resnet50_ft_weight.pkl``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not that file.
    """
    path = require_file(path, 'VGGFace2 ResNet-50 weights', '')
    network = VGGFace2ResNet50()
    state, report = convert_vggface2(
        load_vggface2_weights(path), expected_tensors(network), path.name)
    check_loads(network, state)
    return Conversion(path, 'VGGFace2 ResNet-50', state, report, network)


def as_options(values: Mapping[str, Any]) -> str:
    """Options as words behind ``--cfg-options``."""
    return ' '.join(f'{key}={value}' for key, value in values.items())

