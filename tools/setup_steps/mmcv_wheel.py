# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Compiles mmcv's operators once per Python and torch, and keeps the wheel.

The wheel lies outside the checkout, so that a second checkout or a clean one
needs no compiler. The source tree is kept until the wheel is finished: a
killed compilation goes on with the files that are still missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .errors import SetupError, explain
from .interpreter import Interpreter
from .progress import run_logged, say

CHECK = 'import torch, mmcv.ops as o; o.modulated_deform_conv2d'


def cache_root(environ: dict) -> Path:
    """The cache folder, the same one that ``mmtvface.utils.assets`` uses."""
    if environ.get('MMTVFACE_CACHE'):
        return Path(environ['MMTVFACE_CACHE']).expanduser().resolve()
    base = environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmtvface'


def wheel_folder(environ: dict, python: Interpreter, torch: str) -> Path:
    """Folder of the wheels for one Python, torch release and platform."""
    kind = 'cuda' if wants_cuda(environ) else 'cpu'
    tag = 'cp{}{}'.format(*python.version[:2])
    release = torch.split('+')[0]
    return (cache_root(environ) / 'wheels' /
            f'{tag}-torch{release}-linux_{python.machine}-{kind}')


def wants_cuda(environ: dict) -> bool:
    """Whether the user asked for CUDA operators.

    They need an nvcc that matches torch, and mmtvface falls back to
    torchvision's deformable convolution on GPUs, so CPU is the default.
    """
    return environ.get('MMTVFACE_MMCV_CUDA', '0') not in ('', '0')


def works(python: Interpreter, environ: dict) -> bool:
    """Whether mmcv with compiled operators can be imported."""
    return subprocess.run(
        [python.executable, '-c', CHECK], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=environ, cwd=tempfile.gettempdir()
    ).returncode == 0


def find_wheel(folder: Path, release: str) -> Path | None:
    """A finished wheel of this release in the cache."""
    found = sorted(folder.glob(f'mmcv-{release}-*.whl'))
    return found[-1] if found else None


def check_compiler(python: Interpreter, environ: dict) -> str:
    """Compile a small C++17 program and return the compiler's name.

    Raises:
        SetupError: If there is no compiler, it does not work, or the
            headers of Python are missing.
    """
    remedy = 'install one, for example "apt install g++", or set CXX'
    names = [environ['CXX']] if environ.get('CXX') else ['g++', 'clang++',
                                                         'c++']
    compiler = next((n for n in names if shutil.which(
        n.split()[0], path=environ.get('PATH'))), None)
    if compiler is None:
        raise SetupError(
            'No C++ compiler is on PATH, and mmcv has to be compiled for '
            f'this Python and torch: {remedy}; then run again.')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, 'probe.cpp')
        source.write_text(
            '#include <optional>\nstd::optional<int> f() { return 1; }\n')
        try:
            done = subprocess.run(
                [*compiler.split(), '-std=c++17', '-c', str(source), '-o',
                 str(source.with_suffix('.o'))], env=environ,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            failed = done.returncode != 0
        except OSError:
            failed = True
    if failed:
        raise SetupError(
            f'The C++ compiler "{compiler}" cannot compile C++17, which '
            f'torch needs: {remedy} to GCC 9 or newer; then run again.')
    if not python.headers:
        short = '.'.join(map(str, python.version[:2]))
        raise SetupError(
            'The header files of Python are missing (Python.h), and mmcv '
            f'has to be compiled: "apt install python{short}-dev", or '
            'name another Python with PYTHON=... after "rm -r .venv".')
    return compiler


def jobs(environ: dict) -> int:
    """Parallel compilations: one per core, 2 GiB of memory for each."""
    if environ.get('MAX_JOBS', '').isdigit():
        return max(1, int(environ['MAX_JOBS']))
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(cores, memory // (2 << 30)))


def _source(python: Interpreter, folder: Path, requirement: str, log: Path,
            environ: dict, keep_open: tuple) -> Path:
    """Download mmcv; returns an unpacked source tree or a wheel."""
    build = folder / 'build'
    trees = [p for p in build.glob('mmcv-*') if (p / 'setup.py').is_file()]
    if trees:
        return trees[0]
    shutil.rmtree(build, ignore_errors=True)
    fetched = build / 'download'
    fetched.mkdir(parents=True)
    code, output = run_logged(
        [python.executable, '-m', 'pip', 'download', '--no-deps',
         '--no-build-isolation', '--progress-bar', 'off', '--no-input',
         '-d', str(fetched), requirement], log, '      fetching mmcv',
        environ, keep_open)
    if code:
        raise explain('mmcv', output, str(log))
    archive = next(iter(fetched.glob('mmcv-*')))
    if archive.suffix == '.whl':
        return archive
    # Unpacked elsewhere and renamed: a tree that exists is complete.
    unpacked = build / 'unpack'
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, 'data_filter'):
            tar.extractall(unpacked, filter='data')
        else:
            tar.extractall(unpacked)
    tree = next(iter(unpacked.iterdir()))
    target = build / tree.name
    os.replace(tree, target)
    return target


def build_wheel(python: Interpreter, torch: str, requirement: str, log: Path,
                environ: dict, keep_open: tuple = ()) -> Path:
    """Compile mmcv into the cache.

    Args:
        python: The environment's Python, with torch and the build tools.
        torch: Version of torch in it.
        requirement: For example ``mmcv==2.1.0``.
        log: File for the compiler's output.
        environ: Environment variables.
        keep_open: File descriptors for the compiler to inherit.

    Returns:
        The finished wheel; it appears in the cache in one step.

    Raises:
        SetupError: If something is missing or the compilation fails.
    """
    folder = wheel_folder(environ, python, torch)
    count = jobs(environ)
    compiler = check_compiler(python, environ)
    source = _source(python, folder, requirement, log, environ, keep_open)
    if source.suffix != '.whl':
        say(f'      compiling mmcv with {compiler}, {count} job(s): about '
            f'{max(2, 22 // count)} minutes, once per Python and torch')
        env = dict(environ, MMCV_WITH_OPS='1', MAX_JOBS=str(count))
        if wants_cuda(environ):
            env['FORCE_CUDA'] = '1'
        else:
            # mmcv's setup.py compiles for CUDA whenever torch sees a GPU.
            env['CUDA_VISIBLE_DEVICES'] = ''
            env.pop('FORCE_CUDA', None)
        output_folder = folder / 'build' / 'out'
        # Not from pip's own wheel cache: it does not know which torch a
        # wheel was compiled against.
        code, output = run_logged(
            [python.executable, '-m', 'pip', 'wheel', '--no-deps',
             '--no-build-isolation', '--no-cache-dir', '-v', '--no-input',
             '-w', str(output_folder), str(source)], log,
            '      compiling mmcv', env, keep_open)
        if code:
            raise explain('mmcv', output, str(log))
        source = next(iter(output_folder.glob('mmcv-*.whl')))
    wheel = folder / source.name
    os.replace(source, wheel)
    shutil.rmtree(folder / 'build', ignore_errors=True)
    return wheel
