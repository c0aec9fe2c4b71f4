# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Imports what runs models without what only training and others need.

``import mmengine.model`` brings sharded training (and with it torch's
compiler and SymPy) and every package that has an optimizer; ``import
mediapipe`` brings Matplotlib, an audio library and all of its other tasks.
That is two seconds before the first frame, and the warnings of packages that
a command never uses.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

#: mmengine does without these where they cannot be imported.
_OPTIONAL = ('transformers', 'torch.distributed.optim')
#: It imports this one in any case.
_SHARDED = 'mmengine.model.wrappers.fully_sharded_distributed'
#: Packages whose ``__init__`` imports everything below them.
_CROWDED = ('mediapipe', 'mediapipe.python.solutions')

# Other programs that call a command in their process keep whole packages.
_own_process = False


def this_process_is_a_command() -> None:
    """Allow :func:`start_lightly` to leave parts of packages out."""
    global _own_process
    _own_process = True


class MMFullyShardedDataParallel:
    """Stands where mmengine has its wrapper of sharded models."""

    def __init__(self, *_: object, **__: object) -> None:
        raise RuntimeError('This process was started to run models, not to '
                           'train them in parts: use tools/train.py.')


@contextmanager
def _in_their_place(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Put modules (None: cannot be imported) into ``sys.modules``."""
    added = [name for name in modules if name not in sys.modules]
    sys.modules.update({name: modules[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _import_models() -> None:
    if 'mmengine.model' in sys.modules:
        return
    sharded = ModuleType(_SHARDED)
    sharded.MMFullyShardedDataParallel = MMFullyShardedDataParallel
    with _in_their_place({_SHARDED: sharded, **dict.fromkeys(_OPTIONAL)}):
        importlib.import_module('mmengine.model')


def _bare_packages() -> None:
    """Packages of mediapipe that import their parts when they are needed."""
    spec = importlib.util.find_spec(_CROWDED[0])
    if spec is None or any(name in sys.modules for name in _CROWDED):
        return
    root = Path(spec.origin).parent.parent
    for name in _CROWDED:
        package = ModuleType(name)
        package.__path__ = [str(root / name.replace('.', '/'))]
        sys.modules[name] = package


def start_lightly() -> None:
    """Import what models need; does nothing but in a command's process.

    To be called before other modules of the package are imported.
    """
    if _own_process:
        _import_models()
        _bare_packages()
