# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From videos to clips of single faces, one video at a time."""

from ..settings import ClipSettings
from .duplicates import ClipSignature, find_duplicates
from .extract import extract_clips
from .journal import Journal, open_journal, read_journal
from .masks import build_mask_maker
from .sources import VideoSource, find_videos, video_key
from .splits import SPLITS, SplitItem, assign_splits
from .worker_pool import Report, process_video, process_videos

__all__ = [
    'SPLITS', 'ClipSettings', 'ClipSignature', 'Journal', 'Report',
    'SplitItem', 'VideoSource', 'assign_splits', 'build_mask_maker',
    'extract_clips', 'find_duplicates', 'find_videos', 'open_journal',
    'process_video', 'process_videos', 'read_journal', 'video_key'
]
