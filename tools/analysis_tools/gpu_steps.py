# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training steps on a GPU against what the card can do at best."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_parts import ROOT, Check
from mmengine.config import Config
from profile_step import build_step
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

CONFIGS = ROOT / 'configs'
MODELS = {
    'temporal_deca coarse': 'temporal_deca/temporal-deca_r50_1xb2-coarse_'
                            'face-clips.py',
    'lite_deca coarse': 'lite_deca/lite-deca_r50_1xb2-coarse_face-clips.py',
    'temporal_deca detail': 'temporal_deca/temporal-deca_r50_1xb2-detail_'
                            'face-clips.py',
    'lite_deca detail': 'lite_deca/lite-deca_shared-r50_1xb2-detail_'
                        'face-clips.py',
}
# precision, channels last, compiled
VARIANTS = (('bf16', False, False), ('float32', False, False),
            ('tf32', False, False), ('bf16', True, False),
            ('bf16', True, True))
# Views cost nothing; what is made without reading is written once.
VIEWS = {'view', '_unsafe_view', 'expand', 'permute', 'transpose', 't',
         'slice', 'select', 'unsqueeze', 'squeeze', 'detach', 'alias',
         'as_strided', 'split', 'unbind', 'chunk', 'split_with_sizes',
         '_reshape_alias', 'empty', 'empty_like', 'empty_strided',
         'new_empty', 'unfold', 'diagonal', 'narrow', 'view_as_real'}


class ByteCounter(TorchDispatchMode):
    """Bytes that operators read and write when none are fused.

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
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 0


def ceilings(check: Check) -> tuple[float, float]:
    """FLOP/s of a large bf16 product and bytes/s of a large copy."""
    side = 64 if check.dry_run else 8192
    a, b = (torch.randn(side, side, device=check.device,
                        dtype=torch.bfloat16) for _ in range(2))
    flops = 2 * side**3 / (1e-3 * check.median_ms(lambda: a @ b, 10))
    values = torch.empty(10**4 if check.dry_run else 10**9,
                         device=check.device, dtype=torch.uint8)
    target = torch.empty_like(values)
    speed = 2 * len(values) / (1e-3 * check.median_ms(
        lambda: target.copy_(values), 10))
    check.record('ceilings', flops_per_second=flops, bytes_per_second=speed)
    return flops, speed


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
    """How often the host waits for the GPU in a step."""
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


def top_kernels(check: Check, step: Callable[[], Any]) -> list[dict]:
    """The ten kernels that take most of a step's time."""
    kinds = [ProfilerActivity.CPU]
    kind = DeviceType.CPU
    if check.device.type == 'cuda':
        kinds.append(ProfilerActivity.CUDA)
        kind = DeviceType.CUDA
    with profile(activities=kinds) as profiler:
        step()
    events = [(event.self_device_time_total if kind == DeviceType.CUDA
               else event.self_cpu_time_total, event)
              for event in profiler.key_averages()
              if event.device_type == kind]
    total = sum(time for time, _ in events) or 1
    events.sort(key=lambda pair: -pair[0])
    return [dict(name=event.key[:120], ms=time / 1e3, share=time / total,
                 calls=event.count) for time, event in events[:10]]


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
    model, optimizer, batch = build_step(
        config, clips, frames, size, check.device, [])
    if check.device.type == 'cuda':
        batch = dict(
            inputs=[x.pin_memory() for x in batch['inputs']],
            data_samples=[x.pin_memory() for x in batch['data_samples']])
    if channels_last:
        model.encoder.to(memory_format=torch.channels_last)
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
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    peak_flops = peak_bytes = math.nan
    with check.attempt('ceilings'):
        peak_flops, peak_bytes = ceilings(check)
    counts: dict[str, tuple[int, int]] = {}
    for kind, channels_last, compiled in VARIANTS:
        for name in MODELS:
            # The others fall into many graphs; and a dry run saves time.
            if name != 'lite_deca coarse' and (
                    compiled or check.dry_run and (kind, channels_last)
                    != VARIANTS[0][:2]):
                continue
            label = ', '.join([name, kind, *['channels last'] * channels_last,
                               *['compiled'] * compiled])
            if check.left() < (40 if compiled and not check.dry_run else 8):
                check.record(label, left_out='no time was left')
                continue
            with check.attempt(label), precision(kind):
                step = step_of(check, name, kind, channels_last, compiled)
                ms = check.median_ms(step, 10)
                peak = check.peak_gib()
                if (name, kind) not in counts:
                    with FlopCounterMode(display=False) as flops, (
                            ByteCounter()) as moved:
                        step()
                    counts[name, kind] = flops.get_total_flops(), moved.bytes
                flop, byte = counts[name, kind]
                check.record(
                    label, ms=ms, peak_gib=peak, flop=flop, bytes=byte,
                    flops_per_second=1e3 * flop / ms,
                    bytes_per_second=1e3 * byte / ms,
                    floor_ms=1e3 * max(flop / peak_flops, byte / peak_bytes),
                    waits=count_waits(check, step),
                    kernels=top_kernels(check, step))
