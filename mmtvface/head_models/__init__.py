# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""FLAME and its files, and a licence-free head in the same format."""

from .flame_io import HeadModelData
from .head_topology import HeadTopology
from .landmark_embedding import LandmarkEmbedding

__all__ = ['HeadModelData', 'HeadTopology', 'LandmarkEmbedding']
