# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From the codes of clips to the codes of whole tracks."""

from .blending import WindowBlender
from .code_store import CodeStore
from .encoder_pass import EncoderPass
from .finish import Figures, FinishSettings, finish_track
from .finish_pass import finish_tracks, split_rows
from .run_journal import RunJournal
from .smoothing import SMOOTHERS

__all__ = [
    'CodeStore', 'EncoderPass', 'Figures', 'FinishSettings', 'RunJournal',
    'SMOOTHERS', 'WindowBlender', 'finish_track', 'finish_tracks',
    'split_rows'
]
