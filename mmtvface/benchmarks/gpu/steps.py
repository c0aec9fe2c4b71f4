# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training steps on a GPU against what the card can do at best."""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mmtvface.utils.setup_env import register_all_modules

from .. import CHECKOUT
from ..speed.profile_step import build_training, rendered_batch
from .records import Check

CONFIGS = CHECKOUT / 'configs'
MODELS = {
    'temporal_deca coarse': 'temporal_deca/temporal-deca_r50_1xb2-coarse_'
                            'face-clips.py',
    'lite_deca coarse': 'lite_deca/lite-deca_r50_1xb2-coarse_face-clips.py',
    'temporal_deca detail': 'temporal_deca/temporal-deca_r50_1xb2-detail_'
                            'face-clips.py',
    'lite_deca detail': 'lite_deca/lite-deca_shared-r50_1xb2-detail_'
                        'face-clips.py',
}
cached_batch = functools.cache(rendered_batch)  # seconds on a core
# precision, channels last, compiled
VARIANTS = (('bf16', False, False), ('bf16', True, False),
            ('bf16', True, True), ('float32', False, False),
            ('tf32', False, False))
# Views cost nothing; what is made without reading is written once.
VIEWS = {'view', '_unsafe_view', 'expand', 'permute', 'transpose', 't',
         'slice', 'select', 'unsqueeze', 'squeeze', 'detach', 'alias',
         'as_strided', 'split', 'unbind', 'chunk', 'split_with_sizes',
         '_reshape_alias', 'empty', 'empty_like', 'empty_strided',
         'new_empty', 'unfold', 'diagonal', 'narrow', 'view_as_real'}


class ByteCounter(TorchDispatchMode):
    """Bytes that operators read and write, as none are fused.

    Triton's kernels are not seen, nor what optimizers write in place.

    Attributes:
        bytes: So far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ not in VIEWS:
            self.bytes += sum(map(_size, (args, kwargs, out)))
        return out


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        # What is expanded is read once.
        whole = value.numel() * value.element_size()
        return min(whole, value.untyped_storage().nbytes())
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 0


def ceilings(check: Check) -> dict[str, float]:
    """FLOP/s of large products by precision, bytes/s of a large copy."""
    side = 64 if check.dry_run else 8192
    found = {}
    for kind in ('bf16', 'float32', 'tf32'):
        dtype = torch.bfloat16 if kind == 'bf16' else torch.float32
        a, b = (torch.randn(side, side, device=check.device, dtype=dtype)
                for _ in range(2))
        with precision(kind):
            found[kind] = 2 * side**3 / (1e-3 * check.median_ms(
                lambda: a @ b, 5))  # noqa: B023  run at once
    values = torch.empty(10**4 if check.dry_run else 10**9,
                         device=check.device, dtype=torch.uint8)
    target = torch.empty_like(values)
    found['copy'] = 2 * len(values) / (1e-3 * check.median_ms(
        lambda: target.copy_(values), 10))
    check.record('ceilings', **found)
    return found


def deform_flop(x: tuple, weight: tuple, *args: Any, out_shape: tuple,
                **kwargs: Any) -> int:
    """Multiply-adds, twice, of a deformable convolution."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def deform_backward_flop(grad: tuple, x: tuple, weight: tuple, *args: Any,
                         out_shape: tuple, **kwargs: Any) -> int:
    """Those of its gradients for columns and weights."""
    return 4 * math.prod(grad) * math.prod(weight[1:])


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Products of float32 numbers in full or in tf32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = name == 'tf32'
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def count_waits(check: Check, step: Callable[[], Any]) -> int | None:
    """How often a step makes the host wait, as PyTorch notices it."""
    if check.device.type != 'cuda':
        step()
        return None
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('always')
            step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchronizing' in str(one.message) for one in found)


def step_of(check: Check, name: str, kind: str, channels_last: bool,
            compiled: bool) -> Callable[[], Any]:
    """A training step of two clips of five frames of 224 pixels."""
    config = Config.fromfile(CONFIGS / MODELS[name])
    config.optim_wrapper.type = (
        'BFloat16OptimWrapper' if kind == 'bf16' else 'OptimWrapper')
    # Logging the norm of the gradients is a wait of the plain wrapper.
    if kind != 'bf16':
        config.optim_wrapper.pop('clip_grad', None)
    config.model.data_preprocessor = dict(
        type='FaceClipDataPreprocessor', non_blocking=True)
    clips, frames, size = 2, 5, 224
    if check.dry_run:
        clips, frames, size = 1, 2, 64
        shrink(config.model)
    model, optimizer = build_training(config, check.device, [])
    batch = cached_batch(model.detail and model.detail.size, clips, frames,
                         size)
    if check.device.type == 'cuda':
        batch = dict(
            inputs=[x.pin_memory() for x in batch['inputs']],
            data_samples=[x.pin_memory() for x in batch['data_samples']])
    if channels_last:
        for part in filter(None, (model, model.detail)):
            part.encoder.to(memory_format=torch.channels_last)
    if compiled:
        model.encoder.compile(
            backend='aot_eager' if check.dry_run else 'inductor')
    return lambda: model.train_step(batch, optimizer)


def shrink(model: Any) -> None:
    """Make a model so narrow that a CPU trains it in seconds."""
    for part in (model, model.get('detail')):
        if part:
            part.encoder.base_channels, part.head.in_channels = 4, 128
            for key, value in dict(mid_channels=8, num_blocks=1,
                                   num_extra_blocks=1, deform_groups=2,
                                   propagation_channels=8).items():
                if key in part.encoder:
                    part.encoder[key] = value
    for name in ('mrf', 'identity'):  # networks of their own
        model.losses.pop(name, None)


def steps(check: Check) -> None:
    """Time, memory, waits and kernels of steps of the full-size models."""
    register_all_modules()
    # As the config for GPUs has it
    torch.backends.cudnn.benchmark = True
    # A dry run needs each line once.
    variants = VARIANTS[:3:2] if check.dry_run else VARIANTS
    cases = [(name, *variant) for variant in variants for name in MODELS
             # Others fall into many graphs
             if name == 'lite_deca coarse' or not variant[2]]
    # What decides most first: detail stages only in bf16 before the rest
    cases.sort(key=lambda case: case[1:] != VARIANTS[0]
               and case[0].endswith('detail'))
    labels = [', '.join([name, kind, *['channels last'] * last,
                         *['compiled'] * compiled])
              for name, kind, last, compiled in cases]
    check.plan('ceilings', *labels)
    peak: dict[str, float] = {}
    with check.attempt('ceilings'):
        peak = ceilings(check)
    for label, case in zip(labels, cases, strict=True):
        if case[3] and check.left() < 40 and not check.dry_run:
            continue  # compilation alone takes longer
        with check.attempt(label), precision(case[1]):
            measure(check, label, *case, peak)


def measure(check: Check, label: str, name: str, kind: str,
            channels_last: bool, compiled: bool, peak: dict[str, float]
            ) -> None:
    """Measure a kind of step; what is known is written at once."""
    step = step_of(check, name, kind, channels_last, compiled)
    ms = check.median_ms(step, 10)
    check.record(label, ms=ms, peak_gib=check.peak_gib())
    check.record(label, waits=count_waits(check, step))
    with check.attempt(label):
        check.record(label, **check.busy(step))
    if (kind, channels_last, compiled) != VARIANTS[0]:
        return  # as many FLOP; and compiled code moves less
    flops = FlopCounterMode(display=False, custom_mapping={
        torch.ops.torchvision.deform_conv2d: deform_flop,
        torch.ops.torchvision._deform_conv2d_backward: deform_backward_flop})
    with flops, ByteCounter() as moved:
        step()
    flop, byte = flops.get_total_flops(), moved.bytes
    values = dict(flop=flop, bytes=byte, flops_per_second=1e3 * flop / ms,
                  bytes_per_second=1e3 * byte / ms)
    if peak:
        values['floor_ms'] = 1e3 * max(flop / peak[kind],
                                       byte / peak['copy'])
    check.record(label, **values)
