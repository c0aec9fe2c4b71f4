# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animate reconstructed heads: expression transfer and teasers."""

from .casting import Look
from .player import CodePlayer
from .sweeps import sweep_expression, sweep_rotation
from .teaser import TeaserOptions, animate_teaser
from .tracks import CodeTrack, is_codes, pick_identity, read_codes, robust_mean
from .transfer import transfer_codes
from .transfer_video import TransferOptions, animate_transfer

__all__ = [
    'CodePlayer', 'CodeTrack', 'Look', 'TeaserOptions', 'TransferOptions',
    'animate_teaser', 'animate_transfer', 'is_codes', 'pick_identity',
    'read_codes', 'robust_mean', 'sweep_expression', 'sweep_rotation',
    'transfer_codes'
]
