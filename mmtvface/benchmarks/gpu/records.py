# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the parts of gpu_check.py share: records, time and measurements."""

import contextlib
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

FAILED = 9  # how a part ends that has recorded its error
WARM_UP = .2  # seconds; clocks of an idle card need some
WAITS = ('cudaStreamSynchronize', 'cudaDeviceSynchronize',
         'cudaEventSynchronize')


class Check:
    """Where a part writes what it finds, and what it may use.

    Args:
        part: Its name.
        records: File to append lines of JSON to; lines of one name add to
            one another.
        until: The part ends before; seconds of ``time.time()``.
        dry_run: Tiny sizes on the CPU.
    """

    def __init__(self, part: str, records: Path, until: float,
                 dry_run: bool) -> None:
        self.part, self.dry_run, self.until = part, dry_run, until
        self.device = torch.device('cpu' if dry_run else 'cuda')
        self.records = records

    def left(self) -> float:
        """Seconds until the end."""
        return self.until - time.time()

    def record(self, name: str, **values: Any) -> None:
        """Write a line at once."""
        line = json.dumps(dict(part=self.part, name=name, **values))
        with self.records.open('a') as file:
            # A part that was killed may have left half a line.
            file.write(f'\n{line}\n')

    def plan(self, *names: str) -> None:
        """Announce records: those that never get values were not reached."""
        for name in names:
            self.record(name)

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[list[str]]:
        """An error in here becomes a record of one sentence.

        Yields:
            A list that holds this sentence afterwards.
        """
        errors: list[str] = []
        try:
            yield errors
        except Exception as error:  # noqa: BLE001  whatever a card comes with
            errors.append(one_sentence(error))
            self.record(name, error=errors[0])
        gc.collect()
        # After some errors a card refuses everything.
        with contextlib.suppress(RuntimeError):
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()

    def median_ms(self, run: Callable[[], Any], repeats: int = 20) -> float:
        """Median time of a run by the device's clock, after warming up.

        It is the time until the device is done, with its waiting for the
        host; see :meth:`busy`.
        """
        if self.device.type != 'cuda':
            start = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(2):
            run()
        torch.cuda.synchronize()
        while time.perf_counter() - start < WARM_UP:
            run()
            torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)]
                 for _ in range(repeats)]
        for begin, end in marks:
            begin.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in marks)

    def peak_gib(self) -> float | None:
        """Most device memory since the warm-up of the last measurement."""
        if self.device.type != 'cuda':
            return None
        return torch.cuda.max_memory_allocated() / 2**30

    def busy(self, run: Callable[[], Any]) -> dict[str, Any]:
        """What the device does in a run.

        Returns:
            ``busy_ms``, in which it works, the ten ``kernels`` that take
            most of it, and ``driver_waits``: how often the driver was asked
            to wait (once by the profiler itself).

        Raises:
            RuntimeError: If the profiler sees nothing of the device.
        """
        kinds, kind = [ProfilerActivity.CPU], DeviceType.CPU
        if self.device.type == 'cuda':
            kinds.append(ProfilerActivity.CUDA)
            kind = DeviceType.CUDA
            torch.cuda.synchronize()
        with profile(activities=kinds) as profiler:
            run()
        seen = profiler.key_averages()
        events = sorted((
            (event.self_device_time_total if kind == DeviceType.CUDA
             else event.self_cpu_time_total, event.key, event.count)
            for event in seen if event.device_type == kind
            and not event.is_user_annotation), reverse=True)
        total = sum(time for time, _, _ in events)
        if not total:
            raise RuntimeError('the profiler saw nothing of the device')
        return dict(
            busy_ms=total / 1e3,
            driver_waits=sum(
                event.count for event in seen if event.key in WAITS),
            kernels=[dict(name=name[:120], ms=time / 1e3,
                          share=time / total, calls=count)
                     for time, name, count in events[:10]])


def one_sentence(error: BaseException) -> str:
    """What a user needs of an error."""
    if isinstance(error, torch.OutOfMemoryError):
        return 'The GPU has not enough memory for this.'
    text = ' '.join(str(error).split()) or type(error).__name__
    if 'Failed to find C compiler' in text:
        return 'Triton finds no C compiler; install gcc or set CC.'
    if 'no kernel image' in text or 'unsupported toolchain' in text:
        return f'The driver is too old for this PyTorch or Triton: {text:.200}'
    return f'{type(error).__name__}: {text:.300}'
