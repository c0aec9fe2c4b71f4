# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Hooks for mmengine's runner."""

from .channels_last_hook import ChannelsLastHook
from .compile_hook import CompileHook
from .deferred_log_hook import DeferredRuntimeInfoHook
from .rng_state_hook import RNGStateHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .sampler_position_hook import SamplerPositionHook
from .time_limit_hook import TimeLimitHook
from .visualization_hook import FaceVisualizationHook

__all__ = ['ChannelsLastHook', 'CompileHook', 'DeferredRuntimeInfoHook',
           'FaceVisualizationHook', 'RNGStateHook', 'SafeCheckpointHook',
           'SamplerPositionHook', 'TimeLimitHook']
