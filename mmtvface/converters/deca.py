# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Checkpoints of DECA and of the temporal DECA under our names.

DECA: Feng et al., SIGGRAPH 2021; the temporal one: "Learning to Reconstruct
3D Faces by Watching TV". Both save a dict of three networks, ``E_flame``,
``E_detail`` and ``D_detail``; training checkpoints also hold the state of
the optimizer and two counters.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from .mapping import Rule, Tensors, convert_tensors, read_tensors
from .report import ConversionReport

PARTS = ('E_flame', 'E_detail', 'D_detail')
# Besides the networks, in checkpoints of a training.
_TRAINING = ('opt', 'global_step', 'batch_size')
# Bounds of the decoder, which the files do not tell (metres).
MAX_DISPLACEMENT = {False: 0.01, True: 0.001}
_WRAPPED = r'(?:module\.)?'  # by data-parallel training
_COARSE, _DETAIL = 'model.encoder', 'model.detail.encoder'


class DecaFacts(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        temporal: Encoders see clips, not single frames.
        aligned: The coarse temporal encoder has deformable alignment.
        detail_aligned: The same of the detail encoder.
        has_detail_encoder: ``E_detail`` is there.
        has_detail_decoder: ``D_detail`` is there.
        shared_flow: Both encoders have the same SPyNet.
        global_step: Of training checkpoints, else None.
        batch_size: Of training checkpoints, else None.
    """

    temporal: bool
    aligned: bool
    detail_aligned: bool
    has_detail_encoder: bool
    has_detail_decoder: bool
    shared_flow: bool
    global_step: int | None
    batch_size: int | None


def _without_wrapper(state: Tensors) -> dict[str, torch.Tensor]:
    return {key.removeprefix('module.'): value
            for key, value in state.items()}


def _has(state: Tensors, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in state)


def _flow_net(state: Tensors) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items()
            if key.startswith('encoder.spynet.')}


def inspect_deca(content: Any, name: str = 'the file') -> DecaFacts:
    """Look what a checkpoint holds.

    Args:
        content: As read by :func:`~mmtvface.utils.safe_torch.load_torch`.
        name: What the file is called in messages.

    Raises:
        ValueError: If it is no checkpoint of these systems, or holds more.
    """
    if not isinstance(content, Mapping) or not isinstance(
            content.get('E_flame'), Mapping) or not content['E_flame']:
        found = (f'entries {sorted(map(str, content))[:8]}' if isinstance(
            content, Mapping) else f'a {type(content).__name__}')
        raise ValueError(
            f'{name} is no checkpoint of DECA: it must be a dict with the '
            f"weights 'E_flame' (and 'E_detail', 'D_detail'), but it holds "
            f'{found}. DECA calls its own deca_model.tar.')
    if more := sorted(map(str, content.keys() - {*PARTS, *_TRAINING})):
        raise ValueError(
            f'{name} holds the entries {more[:8]}, which checkpoints of DECA '
            f'do not have: theirs are {", ".join((*PARTS, *_TRAINING))}. '
            'Give the file as it was published.')
    parts = {}
    for part in PARTS:
        state = content.get(part)
        state = {} if state is None else state
        if not isinstance(state, Mapping) or not all(
                isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError(f'{name}: {part} must map names to tensors.')
        parts[part] = _without_wrapper(state)
    coarse, detail = parts['E_flame'], parts['E_detail']
    flows = _flow_net(coarse), _flow_net(detail)
    return DecaFacts(
        temporal=_has(coarse, 'encoder.rnn.'),
        aligned=_has(coarse, 'encoder.rnn.deform_align.'),
        detail_aligned=_has(detail, 'encoder.rnn.deform_align.'),
        has_detail_encoder=bool(detail),
        has_detail_decoder=bool(parts['D_detail']),
        shared_flow=flows[0].keys() == flows[1].keys() and all(
            torch.equal(value, flows[1][key])
            for key, value in flows[0].items()),
        global_step=_number(content.get('global_step')),
        batch_size=_number(content.get('batch_size')))


def _number(value: Any) -> int | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return int(value) if isinstance(value, int | float) else None


def deca_overrides(facts: DecaFacts,
                   model: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a config needs to hold the weights of a checkpoint.

    Args:
        facts: Of :func:`inspect_deca`.
        model: The config's ``model``.

    Returns:
        Dotted names and values, as for ``--cfg-options``; only those that
        differ from the config.

    Raises:
        ValueError: If the config is for another kind of checkpoint, which
            options cannot mend.
    """
    encoder = model['encoder']
    temporal = encoder['type'].rpartition('.')[2] == 'TemporalResNet'
    if temporal != facts.temporal:
        kinds = ('single frames', 'clips')
        raise ValueError(
            f'The checkpoint is for {kinds[facts.temporal]}, but the encoder '
            f'of the config is {encoder["type"]}, for {kinds[temporal]}. '
            f'Use a config of configs/'
            f'{"temporal_deca" if facts.temporal else "deca"}/.')
    if not temporal:
        return {}
    wanted: dict[str, tuple[Any, Any]] = {
        f'{_COARSE}.with_alignment':
            (encoder.get('with_alignment', True), facts.aligned)
    }
    if facts.aligned:
        wanted[f'{_COARSE}.with_flow'] = encoder.get('with_flow', True), True
    detail = (model.get('detail') or {}).get('encoder')
    if facts.has_detail_encoder and detail is not None:
        if detail['type'].rpartition('.')[2] != 'TemporalResNet':
            raise ValueError(
                'The detail encoder of the checkpoint is a network of its '
                f'own, but that of the config is {detail["type"]}. Use '
                'TemporalResNet.')
        wanted[f'{_DETAIL}.with_alignment'] = (
            detail.get('with_alignment', True), facts.detail_aligned)
        if facts.detail_aligned:
            flow = detail.get('with_flow', True)
            given = facts.shared_flow and facts.aligned
            wanted[f'{_DETAIL}.with_flow'] = flow, (
                (flow or 'given') if given else True)
    for part, config in ((_COARSE, encoder), (_DETAIL, detail or {})):
        # The weights bring their SPyNet; without alignment there is none.
        wanted[f'{part}.spynet_pretrained'] = (
            config.get('spynet_pretrained'), None)
    return {key: value for key, (now, value) in wanted.items()
            if now != value}


def deca_notes(facts: DecaFacts, model: Mapping[str, Any]) -> list[str]:
    """Settings of a config with which results differ from the published.

    Args:
        facts: Of :func:`inspect_deca`.
        model: The config's ``model``.
    """
    notes = []
    decoder = (model.get('detail') or {}).get('decoder')
    if facts.has_detail_decoder and decoder is not None:
        bound = decoder.get('max_displacement', MAX_DISPLACEMENT[False])
        known = MAX_DISPLACEMENT[facts.temporal]
        notes.append(
            f'The file does not tell max_displacement; the config has '
            f'{bound:g} m' + ('.' if bound == known else
                              f', the published system {known:g} m: set '
                              'model.detail.decoder.max_displacement.'))
    if not facts.has_detail_encoder or not facts.has_detail_decoder:
        lacking = [part for part in PARTS[1:] if not {
            'E_detail': facts.has_detail_encoder,
            'D_detail': facts.has_detail_decoder}[part]]
        notes.append(f'The file has no {" and no ".join(lacking)}: it is of '
                     'an earlier stage of the training.')
    if facts.has_detail_encoder and not facts.shared_flow:
        notes.append("E_flame and E_detail have different SPyNets: both are "
                     'kept.')
    if model['regressor'].get('shape_mode', 'frame') != 'frame':
        notes.append("model.regressor.shape_mode is not 'frame': shape and "
                     'texture codes are averaged over a clip, the published '
                     'ones are not.')
    for part, encoder in ((_COARSE, model['encoder']), (_DETAIL, (
            model.get('detail') or {}).get('encoder') or {})):
        if encoder.get('input_norm') is not None:
            notes.append(f'{part}.input_norm must be None for these weights.')
    if model.get('head', {}).get('type', 'procedural') == 'procedural':
        notes.append('The codes are those of FLAME, but the config has the '
                     'built-in head: --flame FOLDER selects your files.')
    if (model.get('texture') or {}).get('clamp', True):
        notes.append('The published systems do not limit the albedo to '
                     '[0, 1]: model.texture.clamp=False gives their colours.')
    return notes


def deca_rules(facts: DecaFacts, expected: Tensors) -> list[Rule]:
    """Renaming of a checkpoint for a model.

    Args:
        facts: Of :func:`inspect_deca`.
        expected: Tensors of the model by name.
    """
    rules = [Rule(r'opt(?:\..+)?', None, 'state of the optimizer'),
             Rule('global_step|batch_size', None, 'counter of the training')]
    flat = {'E_flame': '', 'E_detail': 'detail.'}
    detail = _has(expected, 'detail.')
    for part, prefix in flat.items():
        start = re.escape(part) + r'\.' + _WRAPPED
        if part == 'E_detail' and not detail:
            rules.append(Rule(f'{part}\\..+', None,
                              'the config has no detail branch'))
            continue
        aligned = facts.detail_aligned if prefix else facts.aligned
        if facts.temporal:
            rules.append(Rule(
                start + r'encoder\.conv1\.weight', None,
                'never run: clips enter through encoder.head'))
        if not aligned:
            rules.append(Rule(
                start + r'encoder\.spynet\..+', None,
                'flows without alignment are not used'))
        elif not _has(expected, f'{prefix}encoder.spynet.') and (
                prefix and facts.shared_flow):
            rules.append(Rule(
                start + r'encoder\.spynet\..+', None,
                'the same as in E_flame, whose flows are used'))
        rules += [
            Rule(start + r'encoder\.(.+)', rf'{prefix}encoder.\1'),
            Rule(start + r'layers\.(.+)', rf'{prefix}regressor.layers.\1')
        ]
    decoder = r'D_detail\.' + _WRAPPED + '(.+)'
    rules.append(Rule(decoder, r'detail.decoder.\1') if detail else
                 Rule(decoder, None, 'the config has no detail branch'))
    return rules


def convert_deca(content: Mapping[str, Any],
                 expected: Tensors,
                 name: str = 'the file',
                 overrides: Mapping[str, Any] | None = None
                 ) -> tuple[dict[str, torch.Tensor], ConversionReport]:
    """Weights of a checkpoint under the names of a model.

    Args:
        content: The checkpoint, see :func:`inspect_deca`.
        expected: Tensors of the :class:`TemporalDECA` that takes them, by
            name, without those of the losses.
        name: What the file is called in the report and in messages.
        overrides: Options with which that model was built, for the report.

    Returns:
        The state dict and the report.

    Raises:
        ConversionError: If tensors and model do not fit.
        ValueError: If it is no checkpoint of these systems.
    """
    facts = inspect_deca(content, name)
    absent = []
    if not facts.has_detail_encoder:
        absent.append(Rule(r'detail\.(?:encoder|regressor)\..+', None,
                           'the file has no E_detail'))
    if not facts.has_detail_decoder:
        absent.append(Rule(r'detail\.decoder\..+', None,
                           'the file has no D_detail'))
    rules = deca_rules(facts, expected)
    state, records = convert_tensors(
        read_tensors(content, rules, name), rules, expected, absent, name)
    return state, ConversionReport(name, records, facts._asdict(),
                                   dict(overrides or {}))
