# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Makes or reuses the environment .venv of this checkout.

Runs on the standard library alone. Every step leaves a stamp in
``.venv/.mmtvface``: a second run only compares stamps, and a run that was
interrupted continues where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from setup_steps import mmcv_wheel  # noqa: E402
from setup_steps.errors import SetupError, explain  # noqa: E402
from setup_steps.interpreter import (  # noqa: E402
    Interpreter,
    prepare_venv,
)
from setup_steps.progress import run_logged, say  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30
IMPORTS = ('numpy, cv2, scipy, torch, torchvision, mmengine, mmcv.ops, '
           'mediapipe, albumentations, mmagic, mmtvface')


class Step(NamedTuple):
    """One installation.

    Attributes:
        name: Key of its stamp.
        title: What the user reads.
        files: Files of the checkout that decide about it.
        arguments: Arguments of ``pip install``; empty for mmcv, which has
            a procedure of its own.
        space: Free space it needs in bytes.
    """

    name: str
    title: str
    files: tuple
    arguments: tuple
    space: int


def _pip_step(name: str, title: str, space: int, *extra: str) -> Step:
    file = f'requirements/{name}.txt'
    pins = 'requirements/constraints.txt'
    return Step(name, title, (file, pins),
                ('-r', file, '-c', pins, *extra), space)


STEPS = (
    _pip_step('build', 'build tools', GIB),
    _pip_step('torch', 'PyTorch (2 GB to download)', 12 * GIB),
    _pip_step('runtime', 'libraries', 2 * GIB),
    Step('mmcv', 'mmcv with its operators', ('requirements/mmcv.txt',), (),
         2 * GIB),
    _pip_step('no_deps', 'mmagic, mediapipe', GIB, '--no-deps'),
    _pip_step('tests', 'test tools', GIB),
    Step('project', 'mmtvface itself', ('setup.py', 'mmtvface/version.py'),
         ('-e', '.', '--no-deps', '--no-build-isolation', '--use-pep517'),
         GIB // 4),
)


def installed(python: Interpreter) -> dict[str, str]:
    """Names and versions in the environment, read from folder names."""
    found = {}
    for entry in Path(python.purelib).glob('*.dist-info'):
        name, _, version = entry.name[:-len('.dist-info')].partition('-')
        found[normalized(name)] = version
    return found


def normalized(name: str) -> str:
    """A package name as the package index spells it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def required(file: Path) -> list[str]:
    """Package names in a requirements file."""
    lines = file.read_text(encoding='utf-8').splitlines()
    names = [re.match(r'[A-Za-z0-9][\w.-]*', line) for line in lines]
    return [normalized(match.group()) for match in names if match]


def fingerprint(step: Step, root: Path, python: Interpreter) -> str:
    """Changes whenever the step has to run again."""
    digest = hashlib.sha256(f'{python.name} {step}'.encode())
    for file in step.files:
        digest.update((root / file).read_bytes())
    if step.name == 'project':
        digest.update(str(root).encode())
    return digest.hexdigest()


class Stamps:
    """What is installed already, in ``.venv/.mmtvface/<step>.json``.

    Args:
        folder: Where the stamps lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self, step: Step, key: str, versions: dict) -> bool:
        """Whether a step is done and nobody changed its packages since."""
        try:
            stamp = json.loads((self.folder / f'{step.name}.json').read_text())
            return stamp['key'] == key and all(
                versions.get(name) == version
                for name, version in stamp['packages'].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def write(self, step: Step, key: str, names: list, versions: dict
              ) -> None:
        """Record a finished step with the versions of its packages."""
        stamp = {'key': key, 'packages': {
            n: versions[n] for n in names if n in versions}}
        part = self.folder / f'{step.name}.part'
        part.write_text(json.dumps(stamp, indent=1))
        os.replace(part, self.folder / f'{step.name}.json')


def packages_of(step: Step, root: Path) -> list[str]:
    """Packages whose versions a step's stamp remembers."""
    if step.name == 'mmcv':
        # Compiled against one torch: another torch asks for another mmcv.
        return ['mmcv', 'torch']
    if step.name == 'project':
        return ['mmtvface']
    return required(root / step.files[0])


def check_space(folder: Path, needed: int) -> None:
    """Raise unless a disk has enough free space.

    Raises:
        SetupError: With the free and the needed amount.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f'Only {free / GIB:.1f} GB are free in {folder}, but the set-up '
            f'needs {needed / GIB:.0f} GB: free some space (or move the '
            'checkout to a larger disk) and run again.')


def remove_interrupted(python: Interpreter) -> None:
    """Make pip forget packages that a killed run installed half.

    pip writes INSTALLER at the end of each package; without it pip would
    still take the half package for installed.
    """
    for entry in Path(python.purelib).glob('*.dist-info'):
        if not (entry / 'INSTALLER').is_file():
            shutil.rmtree(entry)


def pip_environment() -> dict:
    """This environment without what would leak packages in or out."""
    env = {k: v for k, v in os.environ.items()
           if k not in ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV',
                        'PIP_TARGET', 'PIP_PREFIX', 'PIP_USER')}
    env.update(PYTHONNOUSERSITE='1', PIP_DISABLE_PIP_VERSION_CHECK='1',
               PIP_REQUIRE_VIRTUALENV='0')
    return env


def pip_install(python: Interpreter, step: str, arguments: tuple, root: Path,
                log: Path, lock: int) -> None:
    """Run ``pip install``; its output goes to the log.

    Raises:
        SetupError: If pip fails.
    """
    previous = os.getcwd()
    os.chdir(root)
    try:
        code, output = run_logged(
            [python.executable, '-m', 'pip', 'install', '--progress-bar',
             'off', '--no-input', '--prefer-binary', *arguments], log,
            f'      {step}', pip_environment(), (lock,))
    finally:
        os.chdir(previous)
    if code:
        raise explain(step, output, str(log))


def install_mmcv(python: Interpreter, root: Path, log: Path, lock: int
                 ) -> None:
    """Install mmcv from the cache, compiling it when there is no wheel.

    Raises:
        SetupError: If it cannot be compiled or imported.
    """
    env = pip_environment()
    torch = installed(python)['torch']
    requirement = next(
        line.split('#')[0].strip()
        for line in (root / 'requirements/mmcv.txt').read_text().splitlines()
        if line.startswith('mmcv'))
    release = requirement.split('==')[1]
    folder = mmcv_wheel.wheel_folder(env, python, torch)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as stream:
        # Two checkouts must not compile the same wheel at the same time.
        wait_for(stream, 'another set-up is compiling mmcv')
        for fresh in (False, True):
            wheel = mmcv_wheel.find_wheel(folder, release)
            if wheel is not None and fresh:
                say('      the cached wheel does not work: compiling anew')
                wheel.unlink()
                wheel = None
            if wheel is None:
                fresh = True
                wheel = mmcv_wheel.build_wheel(
                    python, torch, requirement, log, env,
                    (lock, stream.fileno()))
            try:
                pip_install(python, 'mmcv', ('--no-deps', '--force-reinstall',
                                             str(wheel)), root, log, lock)
                if mmcv_wheel.works(python, env):
                    return
            except SetupError:
                if fresh:
                    raise
            if fresh:
                break
    raise SetupError(
        f'mmcv was compiled but cannot be imported with torch {torch}: '
        f'remove {folder} and .venv and run again; if it stays so, use an '
        f'environment from the README\'s version table (full log: {log}).')


def wait_for(stream, what: str) -> None:
    """Take an exclusive lock, saying so when it has to wait."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f'      {what}: waiting for it')
        fcntl.flock(stream, fcntl.LOCK_EX)


def respects_own_stack(python: Interpreter, versions: dict, stamps: Stamps
                       ) -> bool:
    """Whether .venv came with a torch and mmcv of the user's own.

    Such a pair (CUDA operators, an older torch) is kept as it is.
    """
    if (stamps.folder / 'torch.json').exists() or 'mmcv' not in versions:
        return False
    return versions['mmcv'].startswith(('2.0.', '2.1.')) and \
        'torchvision' in versions and \
        mmcv_wheel.works(python, pip_environment())


def install(python: Interpreter, root: Path, lock: int) -> int:
    """Bring every step up to date.

    Returns:
        How many steps had to run.

    Raises:
        SetupError: With the reason and its remedy.
    """
    state = root / '.venv' / '.mmtvface'
    log, running = state / 'install.log', state / 'running'
    stamps = Stamps(state)
    if running.exists():
        remove_interrupted(python)
    versions = installed(python)
    keys = {s.name: fingerprint(s, root, python) for s in STEPS}
    if respects_own_stack(python, versions, stamps):
        say(f'      keeping torch {versions["torch"]} and mmcv '
            f'{versions["mmcv"]} of this environment')
        for step in STEPS:
            if step.name in ('torch', 'mmcv'):
                stamps.write(step, keys[step.name],
                             [step.name, 'torch', 'torchvision'], versions)
    ran = 0
    for number, step in enumerate(STEPS, 1):
        if stamps.current(step, keys[step.name], versions):
            continue
        # Packages that are there already need no space.
        there = all(n in versions for n in packages_of(step, root))
        check_space(root, GIB // 4 if there else step.space)
        say(f'[{number}/{len(STEPS)}] installing {step.title}')
        begin = time.monotonic()
        running.write_text(step.name)
        if step.name == 'mmcv':
            check_space(Path(tempfile.gettempdir()), GIB)
            install_mmcv(python, root, log, lock)
        else:
            pip_install(python, step.title, step.arguments, root, log, lock)
        versions = installed(python)
        stamps.write(step, keys[step.name], packages_of(step, root), versions)
        running.unlink()
        ran += 1
        say(f'      done in {time.monotonic() - begin:.0f} s')
    verify(python, keys, versions, stamps, log)
    return ran


def verify(python: Interpreter, keys: dict, versions: dict, stamps: Stamps,
           log: Path) -> None:
    """Import everything once after a change.

    Raises:
        SetupError: Naming what cannot be imported.
    """
    step = Step('verified', '', (), (), 0)
    key = ''.join(keys.values())
    if stamps.current(step, key, versions):
        return
    code, output = run_logged(
        [python.executable, '-c', f'import {IMPORTS}'], log,
        '      importing everything once', pip_environment())
    if code:
        last = (output.strip().splitlines() or ['no message'])[-1]
        raise SetupError(
            f'The packages are installed but do not import ({last[:200]}): '
            f'remove .venv with "rm -r {stamps.folder.parent}" and run again '
            f'(full log: {log}).')
    stamps.write(step, key, ['torch', 'mmcv', 'numpy', 'opencv-python',
                             'mmagic'], versions)


def setup(root: Path = ROOT) -> int:
    """Make or reuse ``root/.venv``.

    Returns:
        How many steps had to run.

    Raises:
        SetupError: With the reason and its remedy.
    """
    name = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    locks = mmcv_wheel.cache_root(dict(os.environ)) / 'locks'
    try:
        locks.mkdir(parents=True, exist_ok=True)
        stream = open(locks / name, 'w')  # noqa: SIM115
    except OSError as error:
        raise SetupError(
            f'The cache folder {locks.parent} is not writable '
            f'({error.strerror}): set MMTVFACE_CACHE to a folder that is.'
        ) from None
    with stream:
        wait_for(stream, 'another set-up of this checkout is running')
        python = prepare_venv(root / '.venv', dict(os.environ))
        return install(python, root, stream.fileno())


def main() -> int:
    """Entry point: exit status 0 when the environment is ready."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    if not sys.platform.startswith('linux'):
        sys.stderr.write('set-up stopped: these scripts are for Linux; '
                         'elsewhere follow the README\'s version table.\n')
        return 1
    try:
        ran = setup()
    except SetupError as error:
        sys.stderr.write(f'set-up stopped: {error}\n')
        return 1
    except OSError as error:
        sys.stderr.write(
            f'set-up stopped: {error.strerror or error} '
            f'({error.filename or "no file named"}): check that the disk is '
            'not full and the checkout is writable, then run again.\n')
        return 1
    except KeyboardInterrupt:
        sys.stderr.write('set-up interrupted: run the same command again; '
                         'it continues here.\n')
        return 130
    steps = f'{ran} step(s) installed' if ran else 'nothing to install'
    say(f'environment ready: {ROOT / ".venv"} ({steps}, '
        f'{time.monotonic() - begin:.1f} s)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
