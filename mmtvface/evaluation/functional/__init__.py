# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pure functions behind the metrics."""

from .bootstrap import Difference, paired_difference
from .clip_scores import clip_errors, face_region, mean_errors, score_clip
from .identity_drift import code_spread, identity_drift, neutral_heads
from .landmark_error import (
    box_area_root,
    box_size,
    eye_distance,
    normalized_mean_error,
)
from .motion import (
    LagTerms,
    acceleration_error,
    accelerations,
    jitter,
    join_windows,
    lag_terms,
    mean_by_position,
)
from .motion_fidelity import (
    CODE_SIGNALS,
    HEAD_ANGLES,
    LANDMARK_SIGNALS,
    MIN_MOTION,
    SIGNALS,
    MotionTerms,
    RunningMotion,
    angle_signals,
    clip_motion,
    code_signals,
    face_scale,
    landmark_signals,
    motion_terms,
    pooled,
)
from .scan_error import (
    NOW_LANDMARK_NAMES,
    NOW_LANDMARKS,
    evaluation_region,
    scan_error,
)
from .scan_refinement import refine_alignment
from .surface_distance import MeshSurface, surface_distance
from .vertex_error import angle_between, masked_mean, vertex_error
from .yaw import bin_index, bin_names, head_yaw

__all__ = [
    'CODE_SIGNALS', 'Difference', 'HEAD_ANGLES', 'LANDMARK_SIGNALS',
    'LagTerms', 'MIN_MOTION', 'MeshSurface', 'MotionTerms', 'NOW_LANDMARKS',
    'NOW_LANDMARK_NAMES', 'RunningMotion', 'SIGNALS', 'acceleration_error',
    'accelerations', 'angle_between', 'angle_signals', 'bin_index',
    'bin_names', 'box_area_root', 'box_size', 'clip_errors', 'clip_motion',
    'code_signals', 'code_spread', 'evaluation_region', 'eye_distance',
    'face_region', 'face_scale', 'head_yaw', 'identity_drift', 'jitter',
    'join_windows', 'lag_terms', 'landmark_signals', 'masked_mean',
    'mean_by_position', 'mean_errors', 'motion_terms', 'neutral_heads',
    'normalized_mean_error', 'paired_difference', 'pooled', 'refine_alignment',
    'scan_error', 'score_clip', 'surface_distance', 'vertex_error'
]
