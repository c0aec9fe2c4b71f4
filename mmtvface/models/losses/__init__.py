# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Losses of face reconstructors, chosen and weighted in configs."""

from .base_loss import FaceLoss
from .displacement import (
    DetailSymmetryLoss,
    DisplacementLoss,
    DisplacementPriorLoss,
    NormalLoss,
    ShadingSmoothnessLoss,
)
from .expression import ExpressionLoss
from .identity import IdentityLoss
from .landmark import (
    EyeClosureLoss,
    LandmarkLoss,
    LipClosureLoss,
    LocatedLandmarkLoss,
    UncertainLandmarkLoss,
)
from .mrf import IDMRFLoss
from .photo_detail import PhotoDetailLoss
from .photometric import PhotometricLoss
from .prior import CodePriorLoss, LightPriorLoss
from .supervised import (
    CodeLoss,
    NeutralLandmarkLoss,
    NeutralVertexLoss,
    VertexLoss,
)
from .temporal import TemporalSmoothnessLoss

__all__ = [
    'CodeLoss', 'CodePriorLoss', 'DetailSymmetryLoss', 'DisplacementLoss',
    'DisplacementPriorLoss', 'ExpressionLoss', 'EyeClosureLoss', 'FaceLoss',
    'IDMRFLoss', 'IdentityLoss', 'LandmarkLoss', 'LightPriorLoss',
    'LipClosureLoss', 'LocatedLandmarkLoss', 'NeutralLandmarkLoss',
    'NeutralVertexLoss', 'NormalLoss', 'PhotoDetailLoss', 'PhotometricLoss',
    'ShadingSmoothnessLoss', 'TemporalSmoothnessLoss',
    'UncertainLandmarkLoss', 'VertexLoss'
]
