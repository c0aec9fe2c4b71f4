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
from .face_mask import landmark_mask, mesh_mask
from .landmark_detector import LandmarkDetector, MediaPipeLandmarkDetector
from .tracking import follow_face, steady_crop_matrices

__all__ = [
    'FaceAlignmentLandmarkDetector', 'LandmarkDetector',
    'MediaPipeLandmarkDetector', 'box_to_square', 'crop_matrix',
    'follow_face', 'landmark_box', 'landmark_mask', 'mesh_mask',
    'steady_crop_matrices', 'transform_points', 'warp'
]
