# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Evaluation: pure functions and the metrics that use them."""

from .metrics import (
    DetailNormalError,
    IdentityDrift,
    Jitter,
    LandmarkNME,
    NeutralMeshExport,
    ShapeConstancy,
    VertexError,
)

__all__ = [
    'DetailNormalError', 'IdentityDrift', 'Jitter', 'LandmarkNME',
    'NeutralMeshExport', 'ShapeConstancy', 'VertexError'
]
