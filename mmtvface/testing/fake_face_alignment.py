# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A face-alignment package that finds white squares, with its interface."""

import enum
import sys
import warnings
from types import ModuleType

import numpy as np

from .toy_pictures import find_bright_boxes


class LandmarksType(enum.Enum):
    """The package's kinds of landmarks."""

    TWO_D = '2d'


def install(monkeypatch) -> list[tuple[str, str, str]]:  # noqa: ANN001
    """Put the package in the place of the real one for a test.

    Args:
        monkeypatch: pytest's fixture.

    Returns:
        Grows by (kind, device, face detector) of every network made.
    """
    made = []

    class FaceAlignment:

        def __init__(self, landmarks_type: LandmarksType,
                     device: str = 'cuda', flip_input: bool = False,
                     face_detector: str = 'sfd') -> None:
            made.append((landmarks_type.value, device, face_detector))

        def get_landmarks_from_image(self, image: np.ndarray
                                     ) -> list[np.ndarray] | None:
            faces = [face.astype(np.float32)
                     for face in find_bright_boxes(image)]
            if not faces:
                warnings.warn('No faces were detected.', stacklevel=2)
            return faces or None

    module = ModuleType('face_alignment')
    module.FaceAlignment = FaceAlignment
    module.LandmarksType = LandmarksType
    monkeypatch.setitem(sys.modules, 'face_alignment', module)
    return made
