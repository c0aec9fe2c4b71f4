# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Which build of PyTorch a machine gets.

The CUDA build takes 4.5 GB, the CPU build 0.7; only a GPU is worth the first.
"""

from __future__ import annotations

import os
import platform
import shutil
import urllib.request
from pathlib import Path

from .errors import SetupError
from .progress import say

CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
#: What torch.txt and torch_cpu.txt name, whatever of it is installed.
TESTED = ('2.11.0', '2.11.0+cpu', '2.13.0+cpu')
#: What NVIDIA's driver makes, also in containers and below Windows.
DEVICES = ('/dev/nvidiactl', '/proc/driver/nvidia/version', '/dev/dxg')
#: Arguments of pip for the build that every index has.
CUDA = ('-r', 'requirements/torch.txt')
_CHOICE = 'MMTVFACE_TORCH'


def wants_cpu(environ: dict) -> bool:
    """Whether the CPU build is to be tried first.

    Args:
        environ: ``MMTVFACE_TORCH`` overrules the look for a GPU.

    Raises:
        SetupError: If it is neither 'cpu' nor 'cuda'.
    """
    choice = environ.get(_CHOICE, '')
    if choice in ('cpu', 'cuda'):
        return choice == 'cpu'
    if choice:
        raise SetupError(f'{_CHOICE}={choice} is not known: set it to cpu or '
                         'cuda, or unset it.')
    has_gpu = any(os.path.exists(device) for device in DEVICES) or \
        shutil.which('nvidia-smi', path=environ.get('PATH'))
    # Elsewhere the default build is the one for the CPU.
    return platform.machine() == 'x86_64' and not has_gpu


def index_of(torch: str) -> tuple[str, ...]:
    """Arguments of pip that find what fits a version of torch."""
    return (('--extra-index-url', CPU_INDEX)
            if torch.endswith('+cpu') and _is_reachable() else ())


def candidates(root: Path, temporal: bool = False,
               environ: dict | None = None) -> list[tuple[str, ...]]:
    """Arguments of ``pip install`` for torch, the best first.

    Args:
        root: Of the checkout.
        temporal: For the temporal models, too, which need one release.
        environ: Default: the process's.
    """
    if not wants_cpu(dict(os.environ) if environ is None else environ):
        return [CUDA]
    index = ('--extra-index-url', CPU_INDEX) if _is_reachable() else ()
    release, *others = _lines(root, 'torch')
    builds = [line for line in _lines(root, 'torch_cpu')
              if not temporal or line.split('+')[0] == release]
    say('      no GPU: looking for the CPU build')
    return [*((line, *others, *index) for line in builds), CUDA]


def _lines(root: Path, name: str) -> list[str]:
    text = (root / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _is_reachable() -> bool:
    """Whether PyTorch's own index answers; pip would wait much longer."""
    try:
        with urllib.request.urlopen(f'{CPU_INDEX}/torch/', timeout=5):
            return True
    except (OSError, ValueError):
        return False
