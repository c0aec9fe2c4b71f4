# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Makes or reuses the environment .venv of this checkout.

::

    bash tools/bootstrap.sh            # what the packaged model needs
    bash tools/bootstrap.sh temporal   # and mmcv's operators, mmagic, ...
    bash tools/bootstrap.sh tests      # and what the tests need

Runs on the standard library alone. Every step leaves a stamp in
``.venv/.mmtvface``: a second run only compares stamps, and a run that was
interrupted continues where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from setup_steps import mmcv_wheel, torch_build  # noqa: E402
from setup_steps.errors import (  # noqa: E402
    NoMatchError,
    SetupError,
    explain,
)
from setup_steps.interpreter import (  # noqa: E402
    Interpreter,
    prepare_venv,
)
from setup_steps.progress import run_logged, say  # noqa: E402
from setup_steps.steps import (  # noqa: E402
    GIB,
    GROUPS,
    STEPS,
    Stamps,
    Step,
    fingerprint,
    normalized,
    packages_of,
    steps_of,
)

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = {
    'core': 'numpy, cv2, scipy, torch, mmengine, mediapipe, mmtvface',
    'temporal': 'torchvision, mmcv.ops, albumentations, mmagic'}


def installed(python: Interpreter) -> dict[str, str]:
    """Names and versions in the environment, read from folder names."""
    found = {}
    for entry in Path(python.purelib).glob('*.dist-info'):
        name, _, version = entry.name[:-len('.dist-info')].partition('-')
        found[normalized(name)] = version
    return found


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


def install_torch(python: Interpreter, temporal: bool, root: Path, log: Path,
                  lock: int) -> None:
    """Install the build of PyTorch that this machine can use.

    Raises:
        SetupError: If no index has any, or pip fails.
    """
    for arguments in torch_build.candidates(root, temporal):
        if arguments == torch_build.CUDA:
            say('      the build for CUDA: 2 GB to download')
            check_space(root, 12 * GIB)
        try:
            pip_install(python, 'PyTorch', arguments, root, log, lock)
            return
        except NoMatchError as error:
            last = error
    raise last


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
        f'environment from the table in docs/versions.md (full log: {log}).')


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


def install(python: Interpreter, root: Path, lock: int,
            group: str = 'core') -> int:
    """Bring every step of a group up to date.

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
    steps = steps_of(group)
    keys = {s.name: fingerprint(s, root, python) for s in STEPS}
    if respects_own_stack(python, versions, stamps):
        say(f'      keeping torch {versions["torch"]} and mmcv '
            f'{versions["mmcv"]} of this environment')
        for step in STEPS:
            if step.name in ('torch', 'torchvision', 'mmcv'):
                stamps.write(step, keys[step.name],
                             [step.name, 'torch', 'torchvision'], versions)
    ran = 0
    for number, step in enumerate(steps, 1):
        if stamps.current(step, keys[step.name], versions):
            continue
        # Packages that are there already need no space.
        there = all(n in versions for n in packages_of(step, root))
        check_space(root, GIB // 4 if there else step.space)
        say(f'[{number}/{len(steps)}] installing {step.title}')
        begin = time.monotonic()
        running.write_text(step.name)
        if step.name == 'mmcv':
            check_space(Path(tempfile.gettempdir()), GIB)
            install_mmcv(python, root, log, lock)
        elif step.name == 'torch':
            if versions.get('torch') not in torch_build.TESTED:
                install_torch(python, group != 'core', root, log, lock)
        else:
            arguments = step.arguments
            if step.name == 'torchvision':
                arguments += torch_build.index_of(versions['torch'])
            pip_install(python, step.title, arguments, root, log, lock)
        versions = installed(python)
        stamps.write(step, keys[step.name], packages_of(step, root), versions)
        running.unlink()
        ran += 1
        say(f'      done in {time.monotonic() - begin:.0f} s')
    for name, modules in IMPORTS.items():
        if name in GROUPS[:GROUPS.index(group) + 1]:
            verify(python, name, modules, keys, versions, stamps, log)
    return ran


def verify(python: Interpreter, group: str, modules: str, keys: dict,
           versions: dict, stamps: Stamps, log: Path) -> None:
    """Import everything of a group once after a change.

    Raises:
        SetupError: Naming what cannot be imported.
    """
    step = Step(f'verified-{group}', '', (), (), 0, group)
    key = ''.join(keys[s.name] for s in steps_of(group))
    if stamps.current(step, key, versions):
        return
    code, output = run_logged(
        [python.executable, '-c', f'import {modules}'], log,
        '      importing everything once', pip_environment())
    if code:
        last = (output.strip().splitlines() or ['no message'])[-1]
        raise SetupError(
            f'The packages are installed but do not import ({last[:200]}): '
            f'remove .venv with "rm -r {stamps.folder.parent}" and run again '
            f'(full log: {log}).')
    stamps.write(step, key, ['torch', 'mmcv', 'numpy', 'opencv-python',
                             'mediapipe', 'mmagic'], versions)


def setup(root: Path = ROOT, group: str = 'core') -> int:
    """Make or reuse ``root/.venv``.

    Args:
        root: Of the checkout.
        group: 'core', or more: 'temporal' or 'tests'.

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
        return install(python, root, stream.fileno(), group)


def main(arguments: list[str]) -> int:
    """Entry point: exit status 0 when the environment is ready."""
    group = arguments[0] if arguments else 'core'
    if group not in GROUPS or len(arguments) > 1:
        sys.stderr.write(f'usage: bash tools/bootstrap.sh '
                         f'[{"|".join(GROUPS)}]\n')
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    if not sys.platform.startswith('linux'):
        sys.stderr.write('set-up stopped: these scripts are for Linux; '
                         'elsewhere follow the table in docs/versions.md.\n')
        return 1
    try:
        ran = setup(ROOT, group)
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
    sys.exit(main(sys.argv[1:]))
