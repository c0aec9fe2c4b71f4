# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Hooks for mmengine's runner."""

from .rng_state_hook import RNGStateHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .sampler_position_hook import SamplerPositionHook
from .time_limit_hook import TimeLimitHook
from .visualization_hook import FaceVisualizationHook

__all__ = ['FaceVisualizationHook', 'RNGStateHook', 'SafeCheckpointHook',
           'SamplerPositionHook', 'TimeLimitHook']
