# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Transforms of whole clips: random numbers are drawn once per clip."""

from .crop import CropFaceClip
from .flame_condition import AddFlameCondition
from .formatting import PackFaceClip
from .loading import LoadFaceClip
from .mirror import MirrorClip
from .occlusion import ClipOcclusion
from .photometric import ClipColorJitter, ClipDegradation

__all__ = ['AddFlameCondition', 'ClipColorJitter', 'ClipDegradation',
           'ClipOcclusion', 'CropFaceClip', 'LoadFaceClip', 'MirrorClip',
           'PackFaceClip']
