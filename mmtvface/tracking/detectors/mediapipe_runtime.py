# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Starting graphs of MediaPipe, without their notices."""

import functools
import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mmtvface.utils.deps import require

# With its dependencies it would bring NumPy 2, jax and a second OpenCV; what
# it needs of them is in requirements/core.txt.
INSTALL = 'pip install --no-deps mediapipe==0.10.14'
PURPOSE = 'Finding faces in images without landmark files'


def module(name: str) -> ModuleType:
    """Import a module below ``mediapipe.python``.

    Args:
        name: For example 'solutions.face_mesh'.

    Raises:
        ImportError: If mediapipe is not installed, with the command.
    """
    found = require(f'mediapipe.python.{name}', PURPOSE, INSTALL)
    _know_all_options()
    return found


@functools.cache
def _know_all_options() -> None:
    """Import the messages of all calculators' options (0.05 s).

    A graph loses those options whose messages are not known when it is read:
    without them the threshold of repeated detections, for example, is another
    one, and nothing is said.
    """
    for folder in importlib.import_module('mediapipe').__path__:
        for file in sorted(Path(folder, 'calculators').rglob('*_pb2.py')):
            importlib.import_module('.'.join(
                ('mediapipe', *file.relative_to(folder).with_suffix(
                    '').parts)))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the native notices of mediapipe while its graphs start.

    They are written to the process's standard error before its logging can
    be configured, so that only redirecting the descriptor helps. Python
    exceptions are not affected. Some notices come with the first image only:
    run every graph once inside.
    """
    os.environ.setdefault('GLOG_minloglevel', '2')
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
