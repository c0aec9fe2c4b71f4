# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Trainable reconstructors and their data preprocessor."""

from .data_preprocessor import FaceClipDataPreprocessor
from .detail_branch import DetailBranch
from .temporal_deca import TemporalDECA

__all__ = ['DetailBranch', 'FaceClipDataPreprocessor', 'TemporalDECA']
