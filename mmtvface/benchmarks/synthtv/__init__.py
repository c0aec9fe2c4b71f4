# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""SynthTV: rendered talking heads as they look on television."""

from .dataset import SynthTVDataset
from .degradation_levels import DIFFICULTIES, LEVELS, DegradationLevel
from .flow_pairs import SynthTVFlowDataset
from .scenes import SceneSettings

__all__ = ['DIFFICULTIES', 'LEVELS', 'DegradationLevel', 'SceneSettings',
           'SynthTVDataset', 'SynthTVFlowDataset']
