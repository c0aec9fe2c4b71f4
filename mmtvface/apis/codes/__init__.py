# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From the codes of clips to the codes of whole tracks."""

from .appearance_pass import AppearancePass, has_colors
from .blending import WindowBlender
from .code_log import CodeLog
from .code_store import CodeStore
from .encoder_pass import Coded, EncoderPass
from .finish import Figures, FinishSettings, finish_run, one_identity
from .finish_pass import TrackFinisher, split_rows
from .run_journal import RunJournal
from .segment_codes import SegmentCodes
from .smoothing import SMOOTHERS

__all__ = [
    'AppearancePass', 'CodeLog', 'CodeStore', 'Coded', 'EncoderPass',
    'Figures', 'FinishSettings', 'RunJournal', 'SMOOTHERS', 'SegmentCodes',
    'TrackFinisher', 'WindowBlender', 'finish_run', 'has_colors',
    'one_identity', 'split_rows'
]
