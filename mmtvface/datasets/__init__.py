# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Datasets of face clips: folders of frames and rendered heads."""

from .face_clip_dataset import FaceClipDataset
from .samplers import EpochSampler
from .synthetic import write_clip_folder
from .synthetic_clip_dataset import SyntheticFaceClipDataset
from .transforms import (
    ClipColorJitter,
    ClipDegradation,
    CropFaceClip,
    LoadFaceClip,
    PackFaceClip,
)

__all__ = ['ClipColorJitter', 'ClipDegradation', 'CropFaceClip',
           'EpochSampler', 'FaceClipDataset', 'LoadFaceClip', 'PackFaceClip',
           'SyntheticFaceClipDataset', 'write_clip_folder']
