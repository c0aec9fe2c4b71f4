# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""SPyNet's weights, from any file that holds them.

SPyNet: Ranjan & Black, CVPR 2017, in the six-level form of OpenMMLab.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from mmtvface.utils.safe_torch import flatten_tensors

from .mapping import (
    TRAINING_STATE,
    ConversionError,
    Rule,
    convert_tensors,
    read_tensors,
)
from .report import ConversionReport

LEVELS = 6
_CHANNELS = (8, 32, 64, 32, 16, 2)
_KERNEL = 7
_FIRST = 'basic_module.0.basic_module.0.conv.weight'
_NORM = ('mean', 'std')


def spynet_tensors() -> dict[str, torch.Tensor]:
    """Names and shapes of SPyNet's tensors, without values.

    ``mean`` and ``std`` are constants (of ImageNet) and no part of OpenMMLab's
    file.
    """
    shapes = {name: (1, 3, 1, 1) for name in _NORM}
    for level in range(LEVELS):
        for index, (before, after) in enumerate(
                zip(_CHANNELS[:-1], _CHANNELS[1:], strict=True)):
            name = f'basic_module.{level}.basic_module.{index}.conv'
            shapes[f'{name}.weight'] = (after, before, _KERNEL, _KERNEL)
            shapes[f'{name}.bias'] = (after, )
    return {name: torch.empty(shape, device='meta')
            for name, shape in shapes.items()}


def find_spynets(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Prefixes below which a file has a SPyNet, with their dots."""
    return [key.removesuffix(_FIRST) for key in tensors
            if key.endswith(_FIRST)]


def _choose(tensors: Mapping[str, torch.Tensor], prefix: str | None,
            name: str) -> tuple[str, list[str]]:
    """The prefix to take, and those of equal networks."""
    found = find_spynets(tensors)
    if not found:
        raise ConversionError(
            f'{name} holds no SPyNet: no tensor is called *{_FIRST}. Give '
            "OpenMMLab's SPyNet file or a checkpoint of a model with one.")
    if prefix is not None:
        prefix = f'{prefix}.' if prefix and prefix[-1] != '.' else prefix
        if prefix not in found:
            raise ConversionError(f"{name} holds no SPyNet at '{prefix}', but "
                                  f'at {found}.')
        return prefix, []

    def network(start: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(start): value
                for key, value in tensors.items()
                if key.startswith(f'{start}basic_module.')}

    first = network(found[0])
    for other in found[1:]:
        second = network(other)
        if first.keys() != second.keys() or not all(
                torch.equal(value, second[key])
                for key, value in first.items()):
            raise ConversionError(
                f'{name} holds different SPyNets at {found}; choose one of '
                'them (--prefix).')
    return found[0], found[1:]


def convert_spynet(content: Any, prefix: str | None = None,
                   name: str = 'the file'
                   ) -> tuple[dict[str, torch.Tensor], ConversionReport]:
    """SPyNet alone, under the names that encoders and mmagic use.

    Args:
        content: A checkpoint: OpenMMLab's SPyNet, one of BasicVSR(++) or
            one of the temporal DECA.
        prefix: Which SPyNet, if the file has several different ones.
        name: What the file is called in the report and in messages.

    Returns:
        The state dict and the report.

    Raises:
        ConversionError: If there is no SPyNet, not one alone, or one of
            another architecture.
    """
    tensors = flatten_tensors(content)
    prefix, equal = _choose(tensors, prefix, name)
    rules = [Rule(re.escape(start) + '.+', None, f'the same as {prefix}*')
             for start in equal]
    rules.append(Rule(
        re.escape(prefix) + r'((?:basic_module\..+|mean|std))', r'\1'))
    if prefix not in ('', 'state_dict.'):
        # A whole model: what is not its SPyNet is another part.
        rules.append(Rule(rf'(?!{re.escape(prefix)}).+', None,
                          'no part of SPyNet'))
    else:
        rules.append(TRAINING_STATE)
    absent = [Rule('|'.join(_NORM), None, 'constant of the network')]
    state, records = convert_tensors(
        read_tensors(content, rules, name), rules, spynet_tensors(), absent,
        name)
    return state, ConversionReport(name, records, dict(prefix=prefix))
