# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What finds faces in images and follows their landmarks."""

from .face_alignment_detector import FaceAlignmentDetector
from .face_detector import (
    DETECTORS,
    FaceDetection,
    FaceDetector,
    FaceLandmarks,
    LandmarkFollower,
    LandmarkFunction,
    build_detector,
    usable_detectors,
)
from .mediapipe_detector import MediaPipeDetector

__all__ = [
    'DETECTORS', 'FaceAlignmentDetector', 'FaceDetection', 'FaceDetector',
    'FaceLandmarks', 'LandmarkFollower', 'LandmarkFunction',
    'MediaPipeDetector', 'build_detector', 'usable_detectors'
]
