# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Encoders: from clips to one feature vector per frame."""

from .resnet_encoder import ResNetEncoder
from .restored_encoder import RestoredEncoder
from .temporal_encoder import TemporalResNet

__all__ = ['ResNetEncoder', 'RestoredEncoder', 'TemporalResNet']
