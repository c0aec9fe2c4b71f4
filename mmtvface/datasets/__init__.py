# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Datasets of face clips: folders of frames and rendered heads."""

from .aflw2000_dataset import AFLW2000Dataset
from .balanced_sampler import BalancedClipSampler
from .bupt_dataset import BUPTDataset
from .concat_dataset import ConcatDataset
from .face_clip_dataset import FaceClipDataset
from .identity_clip_dataset import IdentityClipDataset
from .now_dataset import NoWDataset
from .samplers import EpochSampler
from .synthetic import write_clip_folder
from .synthetic_clip_dataset import SyntheticFaceClipDataset
from .transforms import (
    ClipColorJitter,
    ClipDegradation,
    ClipOcclusion,
    CropFaceClip,
    LoadFaceClip,
    MirrorClip,
    PackFaceClip,
)
from .vggface2_dataset import VGGFace2Dataset
from .voxceleb2_dataset import VoxCeleb2Dataset

__all__ = ['AFLW2000Dataset', 'BUPTDataset', 'BalancedClipSampler',
           'ClipColorJitter', 'ClipDegradation', 'ClipOcclusion',
           'ConcatDataset', 'CropFaceClip', 'EpochSampler', 'FaceClipDataset',
           'IdentityClipDataset', 'LoadFaceClip', 'MirrorClip', 'NoWDataset',
           'PackFaceClip', 'SyntheticFaceClipDataset',
           'VGGFace2Dataset', 'VoxCeleb2Dataset', 'write_clip_folder']
