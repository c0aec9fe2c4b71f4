# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Heads: where they come from, FLAME as a layer, albedo, landmarks."""

from .assets import HeadAssets, fill, load_head, share_settings, topology_of
from .flame import FLAME, FlameOutput
from .flame_io import HeadModelData, load_head_model, save_head_model
from .flame_texture import FLAMETexture
from .head_topology import HeadTopology
from .landmark_embedding import LandmarkEmbedding
from .landmark_head import LandmarkHead
from .old_spelling import modern_model

__all__ = [
    'FLAME', 'FLAMETexture', 'FlameOutput', 'HeadAssets', 'HeadModelData',
    'HeadTopology', 'LandmarkEmbedding', 'LandmarkHead', 'fill',
    'load_head', 'load_head_model', 'modern_model', 'save_head_model',
    'share_settings', 'topology_of'
]
