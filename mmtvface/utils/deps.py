# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Optional dependencies, imported where they are used."""

import importlib
import importlib.util
from importlib import metadata
from types import ModuleType

#: Installed together; a package that replaces one of them breaks others.
_STACK = ('numpy', 'scipy', 'torch', 'opencv-python')


def without_upgrades(install: str) -> str:
    """A command that installs a package and leaves the others as they are.

    pip would replace NumPy or PyTorch where a new package prefers another
    release; hence the command names the releases that are here.

    Args:
        install: For example ``'pip install lmdb'``. Other commands, and
            those with ``--no-deps``, are returned as they are.
    """
    if not install.startswith('pip install') or '--no-deps' in install:
        return install
    kept = []
    for name in _STACK:
        try:
            kept.append(f'{name}=={metadata.version(name)}')
        except metadata.PackageNotFoundError:
            continue
    return ' '.join([install, *kept])


def require_temporal(purpose: str) -> None:
    """Make sure that what temporal models are built on is installed.

    Args:
        purpose: What needs it, the beginning of the message.

    Raises:
        ImportError: If mmagic or mmcv is missing, with the command that adds
            them.
    """
    missing = [name for name in ('mmcv', 'mmagic')
               if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'{purpose} needs mmcv with its operators and mmagic, but '
            f'{" and ".join(missing)} cannot be found: in a checkout of '
            'mmtvface run "bash tools/bootstrap.sh temporal"; elsewhere see '
            'the table in docs/versions.md.')


def require(module: str, purpose: str, install: str) -> ModuleType:
    """Import an optional module or say how to get it.

    Args:
        module: Dotted module name, for example ``'mediapipe'``.
        purpose: What needs it, for the message.
        install: The command that installs it; see
            :func:`without_upgrades`.

    Returns:
        The imported module.

    Raises:
        ImportError: If the import fails; the message names the purpose, the
            original error and the install command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package '{module}', which cannot be "
            f'imported here ({error}). Install it with: '
            f'{without_upgrades(install)}') from error
