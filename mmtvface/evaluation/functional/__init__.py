# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pure functions behind the metrics."""

from .code_spread import code_spread
from .landmark_error import box_size, eye_distance, normalized_mean_error
from .motion import acceleration_error, accelerations, jitter
from .normal_error import angle_between, masked_mean
from .vertex_error import vertex_error

__all__ = [
    'acceleration_error', 'accelerations', 'angle_between', 'box_size',
    'code_spread', 'eye_distance', 'jitter', 'masked_mean',
    'normalized_mean_error', 'vertex_error'
]
