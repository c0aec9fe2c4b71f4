# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What finds faces in images and follows their landmarks."""

from .base import FaceBackend, FaceDetection, FaceLandmarks, LandmarkFollower
from .registry import BACKENDS, build_backend, usable_backends

__all__ = [
    'BACKENDS', 'FaceBackend', 'FaceDetection', 'FaceLandmarks',
    'LandmarkFollower', 'build_backend', 'usable_backends'
]
