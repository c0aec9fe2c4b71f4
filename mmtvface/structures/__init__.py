# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Data structures shared by models, datasets and evaluation."""

from .face_clip_sample import FaceClipSample
from .flame_codes import FlameCodeLayout

__all__ = ['FaceClipSample', 'FlameCodeLayout']
