# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Renaming tensors so that every one of them is accounted for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from mmtvface.utils.safe_torch import flatten_tensors, other_leaves

from .report import MAPPED, MISSING, UNUSED, TensorRecord

Tensors = Mapping[str, torch.Tensor]
COUNTER = 'num_batches_tracked'
COUNTER_NOTE = 'counter of batch norm, set to 0'
_SHOWN = 12


class Rule(NamedTuple):
    r"""What happens to tensors by their names.

    Attributes:
        pattern: Regular expression for the whole name.
        target: Name in the model, with ``\1`` for groups; None if the
            tensor is not needed.
        note: Why it is not needed, or what changes.
    """

    pattern: str
    target: str | None = None
    note: str = ''


#: What OpenMMLab's checkpoints hold beside the ``state_dict``.
TRAINING_STATE = Rule(
    r'(?:meta|message_hub|optimizer|optim_wrapper|param_schedulers|'
    r'ema_state_dict)(?:\..+)?', None, 'state of the training')


class Faults(NamedTuple):
    """Names that prevent a conversion, by kind."""

    unknown: list[str]
    homeless: list[str]
    misshaped: list[str]
    broken: list[str]
    missing: list[str]


class ConversionError(ValueError):
    """Tensors of a file and a model do not fit."""


def convert_tensors(source: Tensors,
                    rules: Sequence[Rule],
                    expected: Tensors,
                    absent: Sequence[Rule] = (),
                    name: str = 'the file'
                    ) -> tuple[dict[str, torch.Tensor], list[TensorRecord]]:
    """Rename tensors and check them against the model that takes them.

    Args:
        source: Tensors of the file by name. They are not changed.
        rules: The first that matches a name decides.
        expected: Tensors of the model by name.
        absent: Which of them the file may lack (the target of these rules
            has no meaning). Counters of batch norm may always be absent:
            they are set to 0, which changes nothing in evaluation.
        name: What the file is called in messages.

    Returns:
        Tensors by the model's names, floating-point ones in the model's
        precision, and a record for each tensor of either side.

    Raises:
        ConversionError: If a name of the file is unknown, a tensor has
            another shape than the model's or values that are not finite, or
            the model needs one that the file lacks. The message names them.
    """
    result: dict[str, torch.Tensor] = {}
    records: list[TensorRecord] = []
    origin: dict[str, str] = {}
    faults = Faults([], [], [], [], [])
    for key, value in source.items():
        rule = _first_match(rules, key)
        shape = tuple(value.shape)
        if rule is None:
            faults.unknown.append(key)
            continue
        if rule.target is None:
            records.append(TensorRecord(UNUSED, key, None, shape, rule.note))
            continue
        target = re.sub(rf'\A(?:{rule.pattern})\Z', rule.target, key)
        if target in origin:
            raise ConversionError(f'{name} has {target} twice: as '
                                  f'{origin[target]} and as {key}.')
        origin[target] = key
        if target not in expected:
            faults.homeless.append(key)
        elif expected[target].shape != value.shape:
            faults.misshaped.append(
                f'{key} is {shape} instead of '
                f'{tuple(expected[target].shape)}')
        elif not _is_finite(value):
            faults.broken.append(key)
        else:
            result[target] = value.detach().to(
                expected[target].dtype, copy=True).contiguous()
            records.append(
                TensorRecord(MAPPED, key, target, shape, rule.note))
    for target, value in expected.items():
        if target in origin:
            continue
        rule = _first_match(absent, target)
        if rule is None and not target.endswith(f'.{COUNTER}'):
            faults.missing.append(target)
            continue
        if rule is None:
            result[target] = torch.zeros_like(value, device='cpu')
        records.append(
            TensorRecord(MISSING, None, target, tuple(value.shape),
                         rule.note if rule else COUNTER_NOTE))
    if any(faults):
        raise ConversionError(_describe(name, faults))
    ordered = {key: result[key] for key in expected if key in result}
    return ordered, records


def read_tensors(content: Any, rules: Sequence[Rule],
                 name: str = 'the file') -> dict[str, torch.Tensor]:
    """Tensors of a file by dotted names, and nothing else beside them.

    Args:
        content: Nested dicts and lists.
        rules: As of :func:`convert_tensors`. What is no tensor may stand
            only where tensors are not needed.
        name: What the file is called in messages.

    Raises:
        ConversionError: If anything else stands where weights do.
    """
    strange = []
    for key in other_leaves(content):
        rule = _first_match(rules, key)
        if rule is None or rule.target is not None:
            strange.append(key)
    if strange:
        more = ', ...' if len(strange) > _SHOWN else ''
        raise ConversionError(
            f'{name} holds what is neither a tensor nor known: '
            f'{", ".join(strange[:_SHOWN])}{more}. Give the file as it was '
            'published.')
    return flatten_tensors(content)


def _is_finite(value: torch.Tensor) -> bool:
    # Less memory than looking at every value; NaN is passed on.
    return not value.numel() or bool(
        torch.stack(value.aminmax()).isfinite().all())


def _first_match(rules: Iterable[Rule], name: str) -> Rule | None:
    return next(
        (rule for rule in rules if re.fullmatch(rule.pattern, name)), None)


def _describe(name: str, faults: Faults) -> str:
    kinds = ('have unknown names', 'have no place in the model',
             'have other shapes', 'are not finite',
             'of the model are missing in it')
    parts = []
    for kind, names in zip(kinds, faults, strict=True):
        if names:
            more = f' and {len(names) - _SHOWN} more' if (
                len(names) > _SHOWN) else ''
            parts.append(f'{len(names)} tensors {kind} '
                         f'({", ".join(names[:_SHOWN])}{more})')
    return (f'{name} does not fit the model, and nothing was written: '
            f'{"; ".join(parts)}. Give the config of the same architecture '
            'and the file as it was published.')
