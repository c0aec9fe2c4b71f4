# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training sets of face clips from videos."""

from .assemble import ClipSet, SetOptions, assemble_set
from .identities import build_embedder
from .make_set import make_clip_set
from .report import report_text, write_report

__all__ = ['ClipSet', 'SetOptions', 'assemble_set', 'build_embedder',
           'make_clip_set', 'report_text', 'write_report']
