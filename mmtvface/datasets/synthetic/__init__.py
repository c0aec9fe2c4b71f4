# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rendered talking heads and what happens between head and file."""

from .degradations import check_degradations
from .export import write_clip_folder
from .performance import PerformanceConfig

__all__ = ['PerformanceConfig', 'check_degradations', 'write_clip_folder']
