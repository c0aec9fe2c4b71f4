# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Loading of published weights into one part of an encoder."""

from collections.abc import Collection, Mapping

import torch
from mmengine.logging import MMLogger
from torch import nn

from mmtvface.utils.safe_torch import load_torch


def read_state_dict(path: str, what: str) -> dict[str, torch.Tensor]:
    """Read the state dict of a checkpoint onto the CPU.

    Args:
        path: Local file, or anything with ``://`` that mmengine's
            ``CheckpointLoader`` knows (https, torchvision, ...).
        what: What the file is, for messages.

    Returns:
        Tensors by name; a wrapping ``state_dict`` entry and the
        ``module.`` of data-parallel wrappers are taken off.

    Raises:
        FileNotFoundError: If a local file is missing.
        ValueError: If the file holds no tensors by name, or more than can
            be read without running code.
    """
    if '://' in path:
        # Imports all of mmengine's training.
        from mmengine.runner import CheckpointLoader
        state = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    else:
        state = load_torch(
            path, what, 'Give the path of an existing file, or None to start '
            'from random weights.')
    if isinstance(state, Mapping) and 'state_dict' in state:
        state = state['state_dict']
    if isinstance(state, Mapping):
        state = {
            key.removeprefix('module.'): value
            for key, value in state.items()
            if isinstance(value, torch.Tensor)
        }
    if not isinstance(state, dict) or not state:
        raise ValueError(f'{path} holds no state dict: expected a mapping of '
                         f'parameter names to tensors ({what}).')
    return state


def take_prefix(state: Mapping[str, torch.Tensor],
                prefix: str) -> dict[str, torch.Tensor]:
    """Entries below ``prefix`` wherever it stands, without it.

    The state dict of a whole model so serves for one of its parts. A state
    dict without the prefix is returned as it is.
    """
    dotted = f'.{prefix}'
    found = {}
    for key, value in state.items():
        _, separator, rest = f'.{key}'.partition(dotted)
        if separator:
            found[rest] = value
    return found or dict(state)


def load_part(module: nn.Module,
              state: Mapping[str, torch.Tensor],
              source: str,
              optional: Collection[str] = (),
              ignored: Collection[str] = ()) -> None:
    """Copy a state dict into a module, completely or not at all.

    Args:
        module: The module to fill.
        state: Tensors by the module's own names.
        source: Where they come from, for messages.
        optional: Names that the state dict may lack.
        ignored: Beginnings of names that it may have in excess.

    Raises:
        ValueError: If names are missing or in excess, or shapes differ; the
            message lists them. The module is unchanged then.
    """
    own = module.state_dict()
    counters = {key for key in own if key.endswith('num_batches_tracked')}
    missing = sorted(own.keys() - state.keys() - set(optional) - counters)
    excess = sorted(key for key in state.keys() - own.keys()
                    if not key.startswith(tuple(ignored)))
    shapes = [
        f'{key}: {tuple(own[key].shape)} expected, '
        f'{tuple(state[key].shape)} found'
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if missing or excess or shapes:
        parts = [
            f'{title} {len(names)} ({", ".join(names[:4])}'
            f'{", ..." if len(names) > 4 else ""})'
            for title, names in (('missing', missing), ('unknown', excess),
                                 ('of another shape', shapes)) if names
        ]
        raise ValueError(
            f'{source} does not fit {type(module).__name__}: '
            f'{"; ".join(parts)}. Use the weights of the same architecture.')
    module.load_state_dict(
        {key: state[key]
         for key in own if key in state}, strict=False)
    MMLogger.get_current_instance().info(
        f'Loaded {source} into {type(module).__name__}.')


def load_resnet_stages(module: nn.Module, path: str) -> None:
    """Fill ``layer1`` to ``layer4`` from torchvision-style weights.

    Args:
        module: Has the four stages.
        path: See :func:`read_state_dict`.

    Raises:
        FileNotFoundError: If a local file is missing.
        ValueError: If the stages in the file are others.
    """
    state = read_state_dict(path, 'ResNet weights')
    for name in ('layer1', 'layer2', 'layer3', 'layer4'):
        load_part(
            getattr(module, name), take_prefix(state, f'{name}.'),
            f'{path}, {name}')


def load_restorer(module: nn.Module, path: str) -> None:
    """Fill an image or video restorer from its weights.

    Args:
        module: A network such as ``mmagic.BasicVSRPlusPlusNet``.
        path: Its weights, or a checkpoint of mmagic whose ``generator`` it
            is (averaged weights, ``generator_ema``, come first, as in
            mmagic's own tests); see :func:`read_state_dict`.

    Raises:
        FileNotFoundError: If a local file is missing.
        ValueError: If the weights are not of this network.
    """
    state = read_state_dict(path, 'weights of the restorer')
    averaged = any(key.startswith('generator_ema.') for key in state)
    load_part(
        module,
        take_prefix(state, 'generator_ema.' if averaged else 'generator.'),
        path,
        ignored=('step_counter', ))
