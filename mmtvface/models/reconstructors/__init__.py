# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Trainable reconstructors and their data preprocessor."""

from .clip_renderer import ClipRenderer
from .code_stream import (
    CodeState,
    CodeStream,
    can_stream,
    join_states,
    split_states,
)
from .data_preprocessor import FaceClipDataPreprocessor
from .detail_branch import DetailBranch
from .temporal_deca import TemporalDECA

__all__ = [
    'ClipRenderer', 'CodeState', 'CodeStream', 'DetailBranch',
    'FaceClipDataPreprocessor', 'TemporalDECA', 'can_stream', 'join_states',
    'split_states'
]
