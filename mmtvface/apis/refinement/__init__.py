# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Refinement of regressed codes on the landmarks of the frames."""

from .refine import (
    RefineSettings,
    refine_identity,
    refine_motion,
    refine_track,
    spread_frames,
)

__all__ = ['RefineSettings', 'refine_identity', 'refine_motion',
           'refine_track', 'spread_frames']
