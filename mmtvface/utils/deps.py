# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Optional dependencies, imported where they are used."""

import importlib
from types import ModuleType


def require(module: str, purpose: str, install: str) -> ModuleType:
    """Import an optional module or say how to get it.

    Args:
        module: Dotted module name, for example ``'mediapipe'``.
        purpose: What needs it, for the message.
        install: The command that installs it.

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
            f'imported here ({error}). Install it with: {install}') from error
