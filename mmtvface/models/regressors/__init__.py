# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Regressors: from features to codes."""

from .detail_head import DetailHead
from .flame_head import FLAMEHead

__all__ = ['DetailHead', 'FLAMEHead']
