# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Evaluation: pure functions and the metrics that use them."""

from .metrics import Jitter, LandmarkNME, ShapeConstancy, VertexError

__all__ = ['Jitter', 'LandmarkNME', 'ShapeConstancy', 'VertexError']
