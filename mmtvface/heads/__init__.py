# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""FLAME and its files, and a licence-free head in the same format."""

from .flame import FLAME, FlameOutput
from .flame_io import HeadModelData, load_head_model, save_head_model
from .flame_texture import FLAMETexture, load_albedo
from .head_topology import HeadTopology, load_head_topology
from .landmark_embedding import LandmarkEmbedding, load_landmark_embedding
from .landmark_head import LandmarkHead

__all__ = [
    'FLAME', 'FLAMETexture', 'FlameOutput', 'HeadModelData', 'HeadTopology',
    'LandmarkEmbedding', 'LandmarkHead', 'load_albedo', 'load_head_model',
    'load_head_topology', 'load_landmark_embedding', 'save_head_model'
]
