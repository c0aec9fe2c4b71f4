# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Metrics registered for mmengine's evaluator."""

from .detail_normal_error import DetailNormalError
from .jitter import Jitter
from .landmark_nme import LandmarkNME
from .shape_constancy import ShapeConstancy
from .vertex_error import VertexError

__all__ = [
    'DetailNormalError', 'Jitter', 'LandmarkNME', 'ShapeConstancy',
    'VertexError'
]
