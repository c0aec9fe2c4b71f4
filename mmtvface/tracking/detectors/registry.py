# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Back-ends by their names, and which of them are usable here."""

from importlib import import_module
from inspect import signature

from mmtvface.utils.deps import without_upgrades

from .base import FaceBackend
from .mediapipe_runtime import INSTALL, quiet

#: Name -> (module, class, modules it needs, install command).
BACKENDS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    'mediapipe': ('mediapipe_detector', 'MediaPipeBackend',
                  ('mediapipe.python.solution_base', ),
                  INSTALL),
    'face-alignment': ('face_alignment_detector', 'FaceAlignmentBackend',
                       ('face_alignment', ),
                       'pip install face-alignment==1.4.1'),
}


def build_backend(name: str = 'mediapipe', **options: object) -> FaceBackend:
    """Make a back-end.

    Args:
        name: One of :data:`BACKENDS`.
        **options: Arguments of its class, for example the folder of the
            weights and the device of 'face-alignment'.

    Raises:
        ValueError: If there is no back-end of this name, or it does not know
            an option.
        ImportError: If its package is not installed.
        FileNotFoundError: If its weights are not there.
    """
    if name not in BACKENDS:
        raise ValueError(f'backend must be one of {sorted(BACKENDS)}, but it '
                         f'is {name!r}.')
    module, kind, _, _ = BACKENDS[name]
    made = getattr(import_module(f'.{module}', __package__), kind)
    known = list(signature(made).parameters)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f'the back-end {name!r} has no option '
                         f'{", ".join(unknown)}; it has {", ".join(known)}.')
    return made(**options)


def usable_backends() -> dict[str, str]:
    """Which back-ends can be built here.

    Returns:
        For every name the empty string if its package can be imported, else
        why not and the command that installs it. Weights are not looked at.
    """
    reasons = {}
    for name, (_, _, needed, install) in BACKENDS.items():
        reasons[name] = ''
        for module in needed:
            try:
                with quiet():
                    import_module(module)
            except ImportError as error:
                reasons[name] = (f'{error}; install it with: '
                                 f'{without_upgrades(install)}')
                break
    return reasons
