# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Metrics registered for mmengine's evaluator."""

from .detail_normal_error import DetailNormalError
from .flow_error import FlowError
from .identity_drift import IdentityDrift
from .identity_gain import IdentityGain
from .jitter import Jitter
from .landmark_nme import LandmarkNME
from .motion_fidelity import MotionFidelity
from .neutral_mesh_export import NeutralMeshExport
from .shape_constancy import ShapeConstancy
from .vertex_error import VertexError

__all__ = [
    'DetailNormalError', 'FlowError', 'IdentityDrift', 'IdentityGain',
    'Jitter', 'LandmarkNME', 'MotionFidelity', 'NeutralMeshExport',
    'ShapeConstancy', 'VertexError'
]
