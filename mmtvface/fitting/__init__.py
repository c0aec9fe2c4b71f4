# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Refinement of regressed codes on landmarks and colours of the frames."""

from .appearance import AppearanceSettings, FaceColors, Seen
from .refine import (
    RefineSettings,
    refine_identity,
    refine_motion,
    refine_track,
    spread_frames,
)

__all__ = ['AppearanceSettings', 'FaceColors', 'RefineSettings', 'Seen',
           'refine_identity', 'refine_motion', 'refine_track',
           'spread_frames']
