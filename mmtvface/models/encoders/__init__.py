# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Encoders: from clips to one feature vector per frame."""

from .clip_encoder import ClipEncoder
from .landmark_locator import LandmarkLocator
from .lite_encoder import LiteTemporalEncoder
from .pretrained import load_restorer
from .resnet_encoder import ResNetEncoder
from .restored_encoder import RestoredEncoder
from .shared_trunk_encoder import SharedTrunkEncoder
from .spynet_flow import SPyNetFlow
from .temporal_encoder import TemporalResNet

__all__ = [
    'ClipEncoder', 'LandmarkLocator', 'LiteTemporalEncoder', 'ResNetEncoder',
    'RestoredEncoder', 'SPyNetFlow', 'SharedTrunkEncoder', 'TemporalResNet',
    'load_restorer'
]
