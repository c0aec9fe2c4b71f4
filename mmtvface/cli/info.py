# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Versions of everything, and which back-ends can be used here.

Example::

    mmtvface info --json
"""

import argparse
import contextlib
import importlib
import json
import platform
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata

from mmtvface.export.writer import kinds_table
from mmtvface.version import __version__

PACKAGES = (
    'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmagic',
    'opencv-python', 'av', 'mediapipe', 'face-alignment', 'scenedetect',
    'numba', 'triton', 'pytorch3d')


def versions() -> dict[str, str | None]:
    """Versions of the packages that matter; None where one is missing."""
    found: dict[str, str | None] = dict(
        mmtvface=__version__, python=platform.python_version())
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _imports(*modules: str) -> str:
    for module in modules:
        importlib.import_module(module)
    return 'imports'


def _deform() -> str:
    ops = importlib.import_module('mmtvface.models.encoders.deform_conv')
    return f"'auto' is {ops.best_op_for('cpu')} on the CPU"


def _temporal() -> str:
    importlib.import_module('mmtvface.utils.deps').require_temporal('It')
    return _imports('mmagic.models.editors.basicvsr_plusplus_net')


def _mmcv() -> str:
    ops = importlib.import_module('mmcv.ops')
    return f'compiled; CUDA: {ops.get_compiling_cuda_version()}'


def _cuda() -> str:
    torch = importlib.import_module('torch')
    if not torch.cuda.is_available():
        raise RuntimeError(
            'this torch has no CUDA' if torch.version.cuda is None else
            f'torch is built for CUDA {torch.version.cuda}, but no GPU or '
            'driver is found')
    return ', '.join(torch.cuda.get_device_name(index)
                     for index in range(torch.cuda.device_count()))


def _triton() -> str:
    _imports('triton')
    _cuda()
    choice = importlib.import_module('mmtvface.renderers.auto_rasterizer')
    if not choice.is_usable('triton'):
        raise RuntimeError('it needs a C compiler')
    return 'imports'


def _video() -> str:
    av = importlib.import_module('av')
    version = '.'.join(map(str, av.library_versions['libavcodec']))
    writes = ('H.264' if 'libx264' in av.codecs_available else
              'MPEG-4 (this FFmpeg has no x264)')
    return f'libavcodec {version}; videos are written as {writes}'


def _detectors() -> str:
    module = importlib.import_module('mmtvface.tracking.detectors')
    reasons = module.usable_detectors()
    if all(reasons.values()):
        raise ImportError(next(iter(reasons.values())))
    return '; '.join(f'{name}: {why}' if why else name
                     for name, why in sorted(
                         reasons.items(), key=lambda item: bool(item[1])))


def _model() -> str:
    module = importlib.import_module('mmtvface.utils.packaged_model')
    model = module.packaged_model()
    return f'{model.checkpoint.name}, checksum right'


CHECKS: dict[str, Callable[[], str]] = {
    'packaged model': _model,
    'CUDA': _cuda,
    'rasterizer torch': lambda: _imports('mmtvface.renderers'),
    'rasterizer numba (CPU)': lambda: _imports(
        'mmtvface.renderers.numba_kernels'),
    'rasterizer triton (GPU)': _triton,
    'rasterizer pytorch3d': lambda: _imports('pytorch3d.renderer'),
    'mmcv operators': _mmcv,
    'deformable alignment': _deform,
    'temporal encoder (mmagic)': _temporal,
    'detectors of faces': _detectors,
    'skin by BiSeNet (facexlib)': lambda: _imports(
        'facexlib.parsing.bisenet'),
    'video (PyAV, FFmpeg)': _video,
    'shots (scenedetect)': lambda: _imports('scenedetect'),
}


def check(checks: Mapping[str, Callable[[], str]] = CHECKS
          ) -> dict[str, dict[str, str | bool]]:
    """Try everything that is optional.

    Returns:
        Name -> ``usable`` and ``note``: how, or why not.
    """
    results: dict[str, dict[str, str | bool]] = {}
    for name, test in checks.items():
        try:
            # What packages print must not stand in the answer.
            with contextlib.redirect_stdout(sys.stderr):
                results[name] = dict(usable=True, note=test())
        # A broken package may raise anything at all, or try to end here.
        except (Exception, SystemExit) as error:
            lines = str(error).strip().splitlines()
            results[name] = dict(
                usable=False, note=lines[0] if lines else repr(error))
    return results


def main(arguments: list[str] | None = None) -> int:
    """Print everything; what cannot be used is no error."""
    parser = argparse.ArgumentParser(
        description='Versions, and which back-ends can be used here.')
    parser.add_argument('--json', action='store_true',
                        help='for programs and bug reports')
    parser.add_argument('--kinds', action='store_true', help='instead, what '
                        'mmtvface reconstruct --save can write, as a table '
                        'in Markdown')
    args = parser.parse_args(arguments)
    if args.kinds:
        sys.stdout.write(kinds_table())
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of packages that are looked at
        found = dict(versions=versions(), backends=check())
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + '\n')
        return 0
    for name, value in found['versions'].items():
        sys.stdout.write(f'{name:<16}{value or "not installed"}\n')
    sys.stdout.write('\n')
    for name, result in found['backends'].items():
        mark = 'yes' if result['usable'] else 'no '
        sys.stdout.write(f'{mark}  {name:<28}{result["note"]}\n')
    return 0
