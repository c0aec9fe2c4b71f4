# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pure functions behind the metrics."""

from .code_spread import code_spread
from .landmark_error import box_size, eye_distance, normalized_mean_error
from .motion import acceleration_error, accelerations, jitter
from .vertex_error import vertex_error

__all__ = [
    'acceleration_error', 'accelerations', 'box_size', 'code_spread',
    'eye_distance', 'jitter', 'normalized_mean_error', 'vertex_error'
]
