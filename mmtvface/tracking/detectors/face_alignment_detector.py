# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Faces by S3FD and landmarks by FAN, with weights from a local folder."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from mmtvface.geometry.crop import landmark_box
from mmtvface.utils.deps import require
from mmtvface.utils.safe_torch import load_torch

from .face_detector import FaceDetection, FaceLandmarks, register_detector

_INSTALL = 'pip install face-alignment==1.4.1'
_PURPOSE = "The detector 'face-alignment'"
_S3FD = 's3fd-619a316812.pth'
_FAN = '2DFAN4*.zip'
_SOURCE = 'https://www.adrianbulat.com/downloads/python-fan/'
# S3FD's boxes reach above the brows by this share of their height.
_FOREHEAD = 0.2


@register_detector('face-alignment')
class FaceAlignmentDetector:
    """The networks that landmarks of face clips are usually made with.

    S3FD (Zhang et al., ICCV 2017) finds faces, FAN (Bulat & Tzimiropoulos,
    ICCV 2017) their landmarks, both by the package face-alignment. They
    want a GPU. The package would download its weights; here they are only
    read from a folder:

    * ``s3fd-619a316812.pth``,
    * ``2DFAN4-cd938726ad.zip`` (or another release of it, ``2DFAN4*.zip``).

    Boxes of detections are cut to brows and chin, as boxes of landmarks are.

    **Confidence** of landmarks: the mean over the 68 heat maps of their
    highest values, clipped to [0, 1]. FAN is trained on Gaussians of height
    1: clear faces have 0.7 and more, wrong ones less than 0.4.

    Args:
        weights: Folder of the two files; default: where the package keeps
            them, ``checkpoints`` in torch.hub's folder.
        device: Where the networks run; default: 'cuda' if there is one,
            else 'cpu'.
        search_side: Images are shrunk to at most this longer side before
            faces are searched; a face of a twentieth of it is found.
        min_confidence: Below, landmarks count as no face.

    Raises:
        ImportError: If face-alignment is not installed.
        FileNotFoundError: If weights are missing; nothing is downloaded.
        ValueError: If weights are damaged.
    """

    needs, install = ('face_alignment', ), _INSTALL

    def __init__(self, weights: str | os.PathLike | None = None,
                 device: str | torch.device | None = None,
                 search_side: int = 640, min_confidence: float = 0.25
                 ) -> None:
        package = require('face_alignment', _PURPOSE, _INSTALL)
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        detector, aligner = find_weights(weights)
        load_torch(detector, 'weights of S3FD')  # refuses unsafe pickles
        with _local_weights(package, aligner):
            self._networks = package.FaceAlignment(
                package.LandmarksType.TWO_D, device=str(device),
                flip_input=False, face_detector='sfd',
                face_detector_kwargs={'path_to_detector': str(detector)})
        self._search_side = search_side
        self._min_confidence = min_confidence

    def detect(self, image: np.ndarray,
               thorough: bool = True) -> list[FaceDetection]:
        """Search an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            thorough: Makes no difference: there is one way to search.

        Returns:
            Faces, best scores first.
        """
        height, width = image.shape[:2]
        zoom = min(1., self._search_side / max(height, width))
        if zoom < 1:
            image = cv2.resize(image, (max(round(width * zoom), 1),
                                       max(round(height * zoom), 1)),
                               interpolation=cv2.INTER_AREA)
        scale = np.array([width, height] * 2) / np.tile(image.shape[1::-1], 2)
        faces = []
        for found in self._networks.face_detector.detect_from_image(
                np.ascontiguousarray(image)):
            found = np.asarray(found, np.float64)
            box = (found[:4] + .5) * scale - .5
            box[1] += _FOREHEAD * (box[3] - box[1])
            faces.append(FaceDetection(box, float(np.clip(found[4], 0, 1))))
        return sorted(faces, key=lambda face: -face.score)

    def follower(self) -> 'FaceAlignmentFollower':
        """A follower; all share the networks."""
        return FaceAlignmentFollower(self._networks, self._min_confidence)

    def close(self) -> None:
        """Free the networks."""
        self._networks = None


class FaceAlignmentFollower:
    """Landmarks by FAN near the last ones.

    Args:
        networks: The package's FaceAlignment.
        min_confidence: Below, landmarks count as no face.
    """

    def __init__(self, networks, min_confidence: float  # noqa: ANN001
                 ) -> None:
        self._networks, self._min_confidence = networks, min_confidence

    def follow(self, image: np.ndarray, box: np.ndarray,
               keypoints: np.ndarray | None = None) -> FaceLandmarks | None:
        """Landmarks of the face near a box, see :class:`LandmarkFollower`.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) left, top, right, bottom of brows and chin.
            keypoints: Not used.

        Returns:
            None if there is no face.
        """
        left, top, right, bottom = (float(value) for value in box)
        top -= _FOREHEAD / (1 - _FOREHEAD) * (bottom - top)
        height, width = image.shape[:2]
        if min(right - left, bottom - top) <= 1 or not (
                0 <= (left + right) / 2 < width and
                0 <= (top + bottom) / 2 < height):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            points, scores, _ = self._networks.get_landmarks_from_image(
                np.ascontiguousarray(image),
                detected_faces=[np.array([left, top, right, bottom, 1.])],
                return_landmark_score=True)
        points = np.asarray(points[0], np.float64)[:, :2]
        confidence = float(np.clip(np.mean(scores[0]), 0., 1.))
        if confidence < self._min_confidence or (
                not np.isfinite(points).all() or _is_flat(points)):
            return None
        return FaceLandmarks(points, confidence)

    def reset(self) -> None:
        """Nothing to forget: every frame stands alone."""

    def close(self) -> None:
        """Nothing to free: the networks belong to the detector."""


def find_weights(folder: str | os.PathLike | None) -> tuple[Path, Path]:
    """The files of S3FD and FAN.

    Args:
        folder: Where they are; None for torch.hub's folder.

    Raises:
        FileNotFoundError: If one is missing, naming both and what is there.
    """
    place = Path(torch.hub.get_dir(), 'checkpoints') if folder is None else (
        Path(folder).expanduser())
    aligners = sorted(place.glob(_FAN))
    if not (place / _S3FD).is_file() or not aligners:
        there = sorted(path.name for path in place.glob('*'))[:10]
        raise FileNotFoundError(
            f"The detector 'face-alignment' needs the files {_S3FD} and "
            f'2DFAN4-cd938726ad.zip (or {_FAN}) in the folder {place}, which '
            f'{"holds " + ", ".join(there) if there else "is empty or absent"}'
            f'. Download them from {_SOURCE} and name their folder by the '
            "option 'weights'; nothing is downloaded here.")
    return place / _S3FD, aligners[0]


def _is_flat(points: np.ndarray) -> bool:
    left, top, right, bottom = landmark_box(points)
    return min(right - left, bottom - top) <= 0


@contextmanager
def _local_weights(package: ModuleType, aligner: Path) -> Iterator[None]:
    """Let the package read FAN from a file instead of downloading it."""
    api = require(f'{package.__name__}.api', _PURPOSE, _INSTALL)
    original = api.load_file_from_url
    api.load_file_from_url = lambda url, *_, **__: str(aligner)
    try:
        yield
    finally:
        api.load_file_from_url = original
