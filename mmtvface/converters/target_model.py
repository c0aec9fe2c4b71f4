# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The model that takes converted weights, and the file that it reads."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.safe_torch import load_torch
from mmtvface.utils.setup_env import SCOPE
from mmtvface.version import __version__

from .mapping import Tensors
from .report import ConversionReport


def with_options(config: Config, options: Mapping[str, Any]) -> Config:
    """A copy of a config with options as of ``--cfg-options``."""
    config = Config(config._cfg_dict.to_dict())
    config.merge_from_dict(dict(options))
    return config


def build_target(config: Config) -> nn.Module:
    """Build the model of a config, on the CPU, without its losses.

    Losses are left out because they may need files of their own.
    """
    model = dict(config.model, losses=None)
    with DefaultScope.overwrite_default_scope(
            config.get('default_scope', SCOPE)):
        return MODELS.build(model)


def expected_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors that a checkpoint of a model holds, but for the losses'."""
    return {key: value for key, value in model.state_dict().items()
            if not key.startswith('losses.')}


def check_loads(model: nn.Module, state: Tensors,
                complete: bool = True) -> None:
    """Load a state dict and look whether all of it arrived.

    Args:
        model: Is changed.
        state: Tensors by its names.
        complete: Whether the model must get all of its tensors.

    Raises:
        ValueError: If a tensor has no place, is missing or differs.
    """
    result = model.load_state_dict(dict(state), strict=False)
    missing = [key for key in result.missing_keys
               if not key.startswith('losses.')] if complete else []
    own = model.state_dict()
    other = [key for key, value in state.items()
             if key not in own or not torch.equal(own[key].cpu(), value)]
    if result.unexpected_keys or missing or other:
        raise ValueError(
            'The converted weights do not load: unexpected '
            f'{result.unexpected_keys[:5]}, missing {missing[:5]}, different '
            f'{other[:5]}.')


def provenance(path: str | os.PathLike, kind: str,
               report: ConversionReport) -> dict[str, Any]:
    """Where converted weights come from: the ``meta`` of a checkpoint.

    Args:
        path: The converted file.
        kind: What was converted.
        report: Of the conversion.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in _blocks(file):
            digest.update(block)
    return dict(
        mmtvface_version=__version__,
        converted_from=dict(
            kind=kind, file=Path(path).name, sha256=digest.hexdigest(),
            **report.facts),
        config_overrides=dict(report.overrides),
        notes=list(report.notes))


def _blocks(file: Any, size: int = 1 << 22) -> Iterator[bytes]:
    while block := file.read(size):
        yield block


def save_checkpoint(path: str | os.PathLike, state: Tensors,
                    meta: Mapping[str, Any]) -> Path:
    """Write a checkpoint that is read back before it gets its name.

    Args:
        path: The new file; its folder is made if needed.
        state: Tensors by name.
        meta: Plain values.

    Returns:
        The path.

    Raises:
        ValueError: If what is read is not what was written.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        torch.save(dict(meta=dict(meta), state_dict=dict(state)), part)
        written = load_torch(part, 'converted checkpoint')['state_dict']
        if written.keys() != state.keys() or not all(
                torch.equal(written[key], state[key]) for key in state):
            raise ValueError(f'{path} was not written correctly. Is the disk '
                             'full?')
    return path
