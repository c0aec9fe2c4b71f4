# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Counts the work and the parameters of each part of a model.

Counted are the products of one prediction: convolutions, matrix products and
deformable convolutions. One multiply-add (MAC) is two FLOPs. Not counted:
additions, activations, norms, bilinear sampling of flows and the renderer,
which has no products to speak of. Shapes are followed and nothing is
computed; building a temporal model takes longest.

Examples:
    python tools/analysis_tools/get_flops.py CONFIG
    python tools/analysis_tools/get_flops.py CONFIG --shape 10 128 128 \
        --compare OTHER_CONFIG --out flops.json
"""

import argparse
import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmtvface.registry import MODELS
from mmtvface.utils.host_sync import asynchronous
from mmtvface.utils.setup_env import register_all_modules

from .profile_step import without_missing_files

# Corners of a bilinear sample, and its modulation.
SAMPLE_MACS = 5
# Modules whose children are rows of their own.
OPENED = ('encoder', 'detail', 'rnn', 'restorer', 'deform_align')
DEFORMABLE = ('deformable product', 'deformable sampling')


class Counter(contextlib.ExitStack):
    """FLOPs of every module of a model that runs inside of the context.

    Args:
        model: Whose modules are told apart.

    Attributes:
        flops: Name of the module -> FLOPs, with those of its children.
        deformable: Name -> FLOPs of product and sampling of the deformable
            convolutions, which torch's counter does not see.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.flops: dict[str, int] = {}
        self.deformable: dict[str, tuple[int, int]] = {}
        self._names = {id(m): name for name, m in model.named_modules()}
        self._by_hand = 0

    def __enter__(self) -> 'Counter':
        super().__enter__()
        # Tensors without values: they can be asked for shapes only.
        self.enter_context(asynchronous())
        self.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        self._counter = self.enter_context(FlopCounterMode(display=False))
        for name, module in self.model.named_modules():
            self._watch(name, module)
        for place, stand_in in self._stand_ins():
            self.enter_context(mock.patch(place, stand_in))
        return self

    def total(self) -> int:
        """FLOPs so far."""
        return self._counter.get_total_flops() + self._by_hand

    def _watch(self, name: str, module: nn.Module) -> None:
        started: list[int] = []

        def end(*_: Any) -> None:
            self.flops[name] = (self.flops.get(name, 0) + self.total()
                                - started.pop())

        for handle in (
                module.register_forward_pre_hook(
                    lambda *_: started.append(self.total())),
                module.register_forward_hook(end)):
            self.callback(handle.remove)

    def _stand_ins(self) -> Iterator[tuple[str, Callable]]:
        """What replaces the deformable operators, which need numbers."""
        if not any(hasattr(m, 'deform_groups') for m in self.model.modules()):
            return
        yield ('mmtvface.models.encoders.propagation.deform_conv',
               lambda x, offset, mask, conv, *_: self._deformable(
                   x, mask, conv.weight, self._names[id(conv)]))
        net = 'mmagic.models.editors.basicvsr_plusplus_net'
        yield (f'{net}.basicvsr_plusplus_net.modulated_deform_conv2d',
               lambda x, offset, mask, weight, *_: self._deformable(
                   x, mask, weight, self._owner(weight)))

    def _owner(self, weight: torch.Tensor) -> str:
        return next(name for name, m in self.model.named_modules()
                    if getattr(m, 'weight', None) is weight)

    def _deformable(self, x: torch.Tensor, mask: torch.Tensor,
                    weight: torch.Tensor, name: str) -> torch.Tensor:
        counts = deformable_flops(x, mask, weight)
        before = self.deformable.get(name, (0, 0))
        self.deformable[name] = (before[0] + counts[0],
                                 before[1] + counts[1])
        self._by_hand += sum(counts)
        return x.new_empty(len(x), len(weight), *mask.shape[-2:])


def deformable_flops(x: torch.Tensor, mask: torch.Tensor,
                     weight: torch.Tensor) -> tuple[int, int]:
    """FLOPs of a modulated deformable convolution: product, sampling.

    Args:
        x: (n, C, h, w).
        mask: (n, G * taps, h', w').
        weight: (C_out, C / groups, kh, kw).
    """
    pixels = len(mask) * mask.shape[-2] * mask.shape[-1]
    taps = weight.shape[-2] * weight.shape[-1]
    return (2 * pixels * weight.numel(),
            2 * pixels * taps * x.shape[1] * SAMPLE_MACS)


def build(path: str | Path) -> nn.Module:
    """The model of a config; weights that are not there are random.

    Raises:
        ValueError: If the config has no model.
    """
    config = Config.fromfile(path)
    if 'model' not in config:
        raise ValueError(f'{path} has no model, so there is nothing to '
                         'count; give a config of configs/deca or '
                         'configs/temporal_deca.')
    settings = without_missing_files(config.model.to_dict(), [])
    settings['losses'] = {}
    model = MODELS.build(settings).eval()
    for module in model.modules():
        # Recomputation would hide blocks; it is no part of a prediction.
        if isinstance(getattr(module, 'with_cp', None), bool):
            module.with_cp = False
        if hasattr(module, 'check_if_mirror_extended'):
            # Looks at values; assume the general case.
            module.check_if_mirror_extended = lambda *_: None
            module.is_mirror_extended = False
    return model


@torch.no_grad()
def count(model: nn.Module, shape: Sequence[int]) -> dict[str, Any]:
    """Work of a prediction for one clip.

    Args:
        model: A :class:`TemporalDECA` of :func:`build`.
        shape: (t, H, W) of the clip.

    Returns:
        ``parts`` (name, parameters, flops), ``flops`` and ``parameters`` of
        the whole, ``encoder_flops``.

    Raises:
        ValueError: If the model refuses the shape.
    """
    frames, height, width = shape
    with Counter(model) as counter:
        clips = torch.empty(1, frames, 3, height, width)
        flat, detail = model.encode_with_detail(clips)
        codes = model.layout.split(flat.flatten(0, 1))
        model.flame(codes['shape'], codes['exp'], codes['pose'])
        if model.texture is not None:
            model.texture(codes['tex'])
        if detail is not None:
            codes['detail'] = detail.flatten(0, 1)
            model.detail.decode(codes)
        total = counter.total()
    merged: dict[str, dict[str, Any]] = {}
    for row in rows(model, counter):
        same = merged.setdefault(row['name'], dict(row, parameters=0, flops=0))
        same['parameters'] += row['parameters']
        same['flops'] += row['flops']
    parts = list(merged.values())
    counted = sum(part['flops'] for part in parts)
    if counted < total:
        parts.append(dict(name='(elsewhere)', parameters=0,
                          flops=total - counted))
    return dict(
        shape=list(shape), parts=parts, flops=total,
        parameters=sum(p.numel() for p in model.parameters()),
        encoder_flops=sum(part['flops'] for part in parts
                          if part['name'].startswith('encoder.')))


def rows(module: nn.Module, counter: Counter,
         prefix: str = '') -> Iterator[dict[str, Any]]:
    """A row per part; what is in :data:`OPENED` is split up.

    The alignments of all branches have the same names, to be summed.
    """
    for name, child in module.named_children():
        full = f'{prefix}{name}'
        if name in OPENED:
            yield from rows(child, counter, f'{full}.')
            continue
        if hasattr(child, 'deform_groups'):
            yield from _alignment_rows(full, child, counter)
            continue
        flops = _flops(full, child, counter)
        parameters = sum(p.numel() for p in child.parameters())
        if flops or parameters:
            yield dict(name=full, parameters=parameters, flops=flops)


def _alignment_rows(name: str, align: nn.Module,
                    counter: Counter) -> Iterator[dict[str, Any]]:
    offsets, parent = align.conv_offset, name.rpartition('.')[0]
    yield dict(name=f'{parent}.conv_offset',
               parameters=sum(p.numel() for p in offsets.parameters()),
               flops=_flops(f'{name}.conv_offset', offsets, counter))
    own = sum(p.numel() for p in align.parameters(recurse=False))
    for part, flops, parameters in zip(
            DEFORMABLE, counter.deformable.get(name, (0, 0)), (own, 0),
            strict=True):
        yield dict(name=f'{parent}.{part}', parameters=parameters,
                   flops=flops)


def _flops(name: str, module: nn.Module, counter: Counter) -> int:
    """Its own, or those of its children where these are called."""
    if name in counter.flops:
        return counter.flops[name]
    return sum(_flops(f'{name}.{key}', child, counter)
               for key, child in module.named_children())


def show(console: Console, config: str, result: Mapping[str, Any]) -> None:
    """Print a result."""
    frames, height, width = result['shape']
    table = Table(title=f'{config}: one clip of {frames} x {height} x '
                  f'{width}', title_justify='left')
    table.add_column('part', overflow='fold')
    for heading in ('parameters', 'GMACs', 'GFLOPs', 'share'):
        table.add_column(heading, justify='right')
    whole = dict(name='all', parameters=result['parameters'],
                 flops=result['flops'])
    for row in (*result['parts'], whole):
        table.add_row(
            row['name'], f'{row["parameters"] / 1e6:.3f} M',
            f'{row["flops"] / 2e9:.3f}', f'{row["flops"] / 1e9:.3f}',
            f'{100 * row["flops"] / max(result["flops"], 1):.1f} %')
    console.print(table)
    console.print('1 GMAC = 2 GFLOPs; convolutions, matrix products and '
                  'deformable convolutions only; the renderer is not '
                  'counted.', markup=False)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description='Count FLOPs and parameters of the parts of a model.')
    parser.add_argument('config')
    parser.add_argument('--shape', type=int, nargs=3, default=None,
                        metavar=('T', 'H', 'W'),
                        help='of a clip (default: 5 frames of the model\'s '
                        'image_size)')
    parser.add_argument('--compare', metavar='CONFIG2',
                        help='another config, at the same shape')
    parser.add_argument('--out', type=Path, help='JSON file')
    args = parser.parse_args(arguments)
    if args.shape and min(args.shape) < 1:
        parser.error(f'--shape must be positive, but it is {args.shape}')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    register_all_modules()
    console = Console()
    report: dict[str, Any] = {}
    shape = args.shape
    for config in filter(None, (args.config, args.compare)):
        model = build(config)
        shape = shape or (5, model.image_size, model.image_size)
        result = count(model, shape)
        show(console, config, result)
        report[config] = result
    if args.compare:
        first, second = report[args.config], report[args.compare]
        report['ratio'] = {
            key: first[key] / second[key]
            for key in ('flops', 'encoder_flops', 'parameters')}
        console.print(
            f'{args.config} has {report["ratio"]["flops"]:.2f} times the '
            f'FLOPs of {args.compare} (the encoders alone '
            f'{report["ratio"]["encoder_flops"]:.2f}) and '
            f'{report["ratio"]["parameters"]:.2f} times the parameters',
            markup=False, soft_wrap=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + '\n')
    return report
