# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""BasicVSR++ as the beginning of an encoder's propagation.

BasicVSR++: Chan et al., CVPR 2022, as restored by mmagic (and mmediting).
Its propagation and the fusion of its branches are those of
:class:`TemporalResNet` without norm layers; what it does before and after
differs.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from mmtvface.registry import MODELS
from mmtvface.utils.safe_torch import flatten_tensors

from .mapping import (
    TRAINING_STATE,
    ConversionError,
    Rule,
    Tensors,
    convert_tensors,
    read_tensors,
)
from .report import ConversionReport

GENERATORS = ('generator_ema', 'generator')
_OFFSETS_PER_GROUP = 27  # 3 * 3 taps, each with x, y and a mask
_UNUSED = (
    (r'feat_extract\..+', 'features of another resolution: the encoder has '
     'head and down1 instead'),
    (r'(?:upsample\d|conv_hr|conv_last|img_upsample)\..+',
     'up-sampling to images, which an encoder does not do'),
)


class BasicVSRFacts(NamedTuple):
    """What a checkpoint of BasicVSR++ holds.

    Attributes:
        prefix: Where the network stands, with a dot, among the names.
        weights: ``'generator'``, ``'generator_ema'`` (its moving average)
            or ``'network'`` where nothing is wrapped around it.
        mid_channels: Channels of the features.
        num_blocks: Residual blocks of a branch.
        num_extra_blocks: Residual blocks of the fusion.
        deform_groups: Groups of the deformable convolutions.
        low_resolution_input: It enlarges its input (or returns its size).
    """

    prefix: str
    weights: str
    mid_channels: int
    num_blocks: int
    num_extra_blocks: int
    deform_groups: int
    low_resolution_input: bool


def _count(names: list[str], pattern: str) -> int:
    found = (re.match(pattern, name) for name in names)
    return len({match[1] for match in found if match})


def inspect_basicvsrpp(content: Any, weights: str | None = None,
                       name: str = 'the file') -> BasicVSRFacts:
    """Look what a checkpoint holds.

    Args:
        content: As read by :func:`~mmtvface.utils.safe_torch.load_torch`.
        weights: ``'generator'`` or ``'generator_ema'``; by default the
            moving average where the file has one.
        name: What the file is called in messages.

    Raises:
        ConversionError: If it is no checkpoint of BasicVSR++.
    """
    tensors = flatten_tensors(content)
    end = 'deform_align.backward_1.weight'
    found = {key.removesuffix(end): value for key, value in tensors.items()
             if re.fullmatch(
                 r'(?:state_dict\.)?(?:module\.)?(?:generator(?:_ema)?\.)?'
                 r'(?:module\.)?' + re.escape(end), key)}
    kinds = {_kind(prefix): prefix for prefix in found}
    if not kinds:
        raise ConversionError(
            f'{name} is no checkpoint of BasicVSR++: no tensor is called '
            f'[generator.]{end}. BasicVSR and RealBasicVSR have another '
            'propagation, of which only SPyNet can be used '
            '(spynet_to_mmtvface.py).')
    if weights is None:
        weights = next((kind for kind in GENERATORS if kind in kinds),
                       'network')
    if weights not in kinds:
        raise ConversionError(f'{name} has no {weights}, but {sorted(kinds)}.')
    prefix = kinds[weights]
    names = [key.removeprefix(prefix) for key in tensors
             if key.startswith(prefix)]
    offset = tensors.get(f'{prefix}deform_align.backward_1.conv_offset.6.bias')
    if offset is None:
        raise ConversionError(f'{name} lacks {prefix}deform_align.backward_1.'
                              'conv_offset.6.bias.')
    return BasicVSRFacts(
        prefix, weights, len(found[prefix]),
        _count(names, r'backbone\.backward_1\.main\.2\.(\d+)\.'),
        _count(names, r'reconstruction\.main\.2\.(\d+)\.'),
        len(offset) // _OFFSETS_PER_GROUP,
        'feat_extract.main.0.weight' in names)


def _kind(prefix: str) -> str:
    return next((kind for kind in GENERATORS if f'{kind}.' in prefix),
                'network')


def encoder_options(facts: BasicVSRFacts, encoder: Mapping[str, Any]
                    ) -> dict[str, tuple[Any, Any]]:
    """Options of an encoder that differ from what a checkpoint needs.

    Args:
        facts: Of :func:`inspect_basicvsrpp`.
        encoder: Config of a ``TemporalResNet``.

    Returns:
        Name -> (value in the config, value needed).

    Raises:
        ConversionError: If it is the config of something else.
    """
    kind = encoder['type']
    if kind.rpartition('.')[2] != 'TemporalResNet':
        raise ConversionError(
            f'The encoder of the config is {kind}, which has no propagation. '
            'Use a config with TemporalResNet.')
    defaults = inspect.signature(MODELS.get(kind).__init__).parameters
    needed = dict(
        mid_channels=facts.mid_channels, num_blocks=facts.num_blocks,
        num_extra_blocks=facts.num_extra_blocks,
        deform_groups=facts.deform_groups, norm_cfg=None,
        with_alignment=True)
    actual = {key: encoder.get(key, defaults[key].default) for key in needed}
    return {key: (actual[key], value) for key, value in needed.items()
            if actual[key] != value}


def check_encoder(facts: BasicVSRFacts, encoder: Mapping[str, Any]) -> None:
    """Raise unless the propagation of an encoder is that of a checkpoint.

    Raises:
        ConversionError: With the options that mend it.
    """
    if other := encoder_options(facts, encoder):
        listed = ', '.join(f'{key} is {actual!r} instead of {value!r}'
                           for key, (actual, value) in other.items())
        options = ' '.join(f'model.encoder.{key}={value}'
                           for key, (_, value) in other.items())
        raise ConversionError(
            f'The encoder of the config has another propagation than the '
            f'checkpoint: {listed}. Train and convert with --cfg-options '
            f'{options}')


def convert_basicvsrpp(content: Any,
                       expected: Tensors,
                       weights: str | None = None,
                       name: str = 'the file',
                       overrides: Mapping[str, Any] | None = None
                       ) -> tuple[dict[str, torch.Tensor], ConversionReport]:
    """Propagation and flow of a model's encoder; the rest stays as it is.

    Args:
        content: The checkpoint, see :func:`inspect_basicvsrpp`.
        expected: Tensors of the model that takes them, by name.
        weights: See :func:`inspect_basicvsrpp`.
        name: What the file is called in the report and in messages.
        overrides: Options with which the model was built, for the report.

    Returns:
        The state dict, ``encoder.rnn.*`` and ``encoder.spynet.*``, and the
        report.

    Raises:
        ConversionError: If it is no checkpoint of BasicVSR++ or does not
            fit the model.
    """
    facts = inspect_basicvsrpp(content, weights, name)
    start = re.escape(facts.prefix)
    rules = [Rule(start + pattern, None, note) for pattern, note in _UNUSED]
    flow = any(key.startswith('encoder.spynet.') for key in expected)
    rules += [
        Rule(start + r'(spynet\..+)', r'encoder.\1') if flow else
        Rule(start + r'spynet\..+', None, 'the encoder has no SPyNet'),
        Rule(start + r'((?:deform_align|backbone)\..+)', r'encoder.rnn.\1'),
        Rule(start + r'reconstruction\.(.+)', r'encoder.rnn.fusion.\1',
             'fuses the branches'),
        *_rest_rules(facts)
    ]
    absent = [Rule(r'(?!encoder\.(?:rnn|spynet)\.).+', None,
                   'starts from its own initialisation'),
              Rule(r'encoder\.spynet\.(?:mean|std)', None,
                   'constant of the network')]
    state, records = convert_tensors(
        read_tensors(content, rules, name), rules, expected, absent, name)
    return state, ConversionReport(name, records, facts._asdict(),
                                   dict(overrides or {}))


def _rest_rules(facts: BasicVSRFacts) -> list[Rule]:
    """Rules for what stands beside the network in a checkpoint."""
    wrapped = r'(?:state_dict\.)?'
    rules = [
        TRAINING_STATE,
        Rule(wrapped + r'(?:step_counter|generator_ema\.steps)', None,
             'counter of the training'),
    ]
    if facts.weights != 'network':
        rules += [
            Rule(rf'(?!{re.escape(facts.prefix)})' + wrapped +
                 r'(?:generator|generator_ema)\..+', None,
                 f'not the chosen weights, {facts.weights}'),
            Rule(wrapped + r'(?:discriminator|pixel_loss|perceptual_loss|'
                 r'gan_loss|data_preprocessor)\..+', None,
                 'part of the training, not of the network')
        ]
    return rules
