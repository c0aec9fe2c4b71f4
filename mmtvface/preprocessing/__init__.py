# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From frames to faces: landmarks, tracks, masks and crops."""

from .crop import (
    box_to_square,
    crop_matrix,
    landmark_box,
    transform_points,
    warp,
)
from .face_alignment_detector import FaceAlignmentLandmarkDetector
from .face_backends import build_backend, usable_backends
from .face_mask import landmark_mask, mesh_mask, outline_mask
from .face_parsing import FaceParser
from .face_tracker import FaceTracker, TrackedFace
from .landmark_detector import LandmarkDetector, MediaPipeLandmarkDetector
from .one_euro import one_euro
from .shots import ShotDetector
from .tracking import follow_face, steady_crop_matrices

__all__ = [
    'FaceAlignmentLandmarkDetector', 'FaceParser', 'FaceTracker',
    'LandmarkDetector', 'MediaPipeLandmarkDetector', 'ShotDetector',
    'TrackedFace', 'box_to_square', 'build_backend', 'crop_matrix',
    'follow_face', 'landmark_box', 'landmark_mask', 'mesh_mask', 'one_euro',
    'outline_mask', 'steady_crop_matrices', 'transform_points',
    'usable_backends', 'warp'
]
