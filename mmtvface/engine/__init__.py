# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training machinery: hooks, optimizers, safe and exact resuming."""

from .bfloat16_wrapper import BFloat16OptimWrapper
from .hooks import (
    ChannelsLastHook,
    CompileHook,
    DeferredRuntimeInfoHook,
    FaceVisualizationHook,
    RNGStateHook,
    SafeCheckpointHook,
    SamplerPositionHook,
    TimeLimitHook,
)
from .trainable_parameters import TrainableParametersConstructor

__all__ = [
    'BFloat16OptimWrapper', 'ChannelsLastHook', 'CompileHook',
    'DeferredRuntimeInfoHook', 'FaceVisualizationHook', 'RNGStateHook',
    'SafeCheckpointHook', 'SamplerPositionHook', 'TimeLimitHook',
    'TrainableParametersConstructor'
]
