# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks by the package face-alignment, an alternative to MediaPipe."""

import warnings

import numpy as np
import torch

from mmtvface.utils.deps import require

_INSTALL = 'pip install face-alignment==1.4.1'
_PURPOSE = 'Finding faces with FaceAlignmentLandmarkDetector'


class FaceAlignmentLandmarkDetector:
    """Faces by face-alignment, as 68 landmarks each.

    The networks (FAN, Bulat & Tzimiropoulos, ICCV 2017, and a face detector)
    are what landmarks of face clips are usually made with. They are slow
    without a GPU, search every image anew, and **the package downloads their
    weights** when they are first used.

    The landmarks are those of the package, taken as pixel indices.

    Args:
        device: Where the networks run; default: 'cuda' if there is one,
            else 'cpu'.
        face_detector: Name of the package's detector: 'sfd' (its default),
            'blazeface' or 'dlib'.

    Raises:
        ImportError: If face-alignment is not installed.
    """

    def __init__(self, device: str | torch.device | None = None,
                 face_detector: str | None = None) -> None:
        package = require('face_alignment', _PURPOSE, _INSTALL)
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        options = {'face_detector': face_detector} if face_detector else {}
        self._networks = package.FaceAlignment(
            package.LandmarksType.TWO_D, device=str(device),
            flip_input=False, **options)

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Find the faces of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            One (68, 2) float64 array per face, pixel indices; parts of a
            face may lie outside the image.
        """
        with warnings.catch_warnings():
            # The package warns of every image without a face.
            warnings.filterwarnings('ignore', 'No faces were detected')
            faces = self._networks.get_landmarks_from_image(
                np.ascontiguousarray(image))
        return [np.asarray(face, np.float64)[:, :2] for face in faces or []]
