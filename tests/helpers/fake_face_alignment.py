# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A face-alignment package that finds white squares, with its interface."""

import enum
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from .toy_pictures import find_bright_boxes

#: What networks would be downloaded from, were they not given.
FAN_URL = 'https://www.adrianbulat.com/downloads/2DFAN4-cd938726ad.zip'


#: Names of the files of weights.
S3FD, FAN = 's3fd-619a316812.pth', '2DFAN4-cd938726ad.zip'


class LandmarksType(enum.Enum):
    """The package's kinds of landmarks."""

    TWO_D = '2d'


class _Detector:
    """Finds white squares: boxes reach above them by a quarter, as S3FD."""

    def detect_from_image(self, image: np.ndarray) -> list[np.ndarray]:
        faces = []
        for points in find_bright_boxes(image):
            low, high = points.min(0), points.max(0)
            top = low[1] - (high[1] - low[1]) / 4
            faces.append(np.array([low[0], top, *high, .75], np.float32))
        return faces


def install(monkeypatch) -> list[tuple[str, str, str]]:  # noqa: ANN001
    """Put the package in the place of the real one for a test.

    Args:
        monkeypatch: pytest's fixture.

    Returns:
        Grows by (kind, device, face detector) of every network made, and by
        the paths of its weights if they were given.
    """
    made = []

    def load_file_from_url(url: str) -> str:
        raise AssertionError(f'{url} would be downloaded')

    class FaceAlignment:

        def __init__(self, landmarks_type: LandmarksType,
                     device: str = 'cuda', flip_input: bool = False,
                     face_detector: str = 'sfd',
                     face_detector_kwargs: Mapping[str, str] | None = None
                     ) -> None:
            weights = () if face_detector_kwargs is None else (
                face_detector_kwargs['path_to_detector'],
                module.api.load_file_from_url(FAN_URL))
            made.append((landmarks_type.value, device, face_detector,
                         *weights))
            self.face_detector = _Detector()

        def get_landmarks_from_image(
                self, image: np.ndarray,
                detected_faces: Sequence[np.ndarray] | None = None,
                return_landmark_score: bool = False):  # noqa: ANN202
            faces = [face.astype(np.float32)
                     for face in find_bright_boxes(image)]
            if detected_faces is not None:
                faces = [_nearest(faces, box) for box in detected_faces]
                # Bright places have high scores, as FAN's heat maps.
                scores = [np.full(68, image[
                    int((box[1] + box[3]) / 2), int((box[0] + box[2]) / 2)
                ].max() / 255.) for box in detected_faces]
                return faces, scores, None
            if not faces:
                warnings.warn('No faces were detected.', stacklevel=2)
            return faces or None

    module = ModuleType('face_alignment')
    module.api = ModuleType('face_alignment.api')
    module.api.load_file_from_url = load_file_from_url
    module.FaceAlignment = FaceAlignment
    module.LandmarksType = LandmarksType
    monkeypatch.setitem(sys.modules, 'face_alignment', module)
    monkeypatch.setitem(sys.modules, 'face_alignment.api', module.api)
    return made


def write_weights(folder: Path) -> Path:
    """Files that pass for the networks' weights; returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({'conv.weight': torch.zeros(2)}, folder / S3FD)
    (folder / FAN).write_bytes(b'script')
    return folder


def _nearest(faces: Sequence[np.ndarray], box: np.ndarray) -> np.ndarray:
    """The face nearest to a box, or the middle of the box itself."""
    center = (box[:2] + box[2:4]) / 2
    return min(faces, key=lambda face: np.linalg.norm(face.mean(0) - center),
               default=np.tile(center, (68, 1)))
