# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Use trained models: images, folders and videos to faces and files."""

from .export import pose_result, save_results, stack_results
from .face_reconstructor import FaceReconstructor
from .inputs import FrameSource, open_frames
from .results import FrameResult

__all__ = ['FaceReconstructor', 'FrameResult', 'FrameSource', 'open_frames',
           'pose_result', 'save_results', 'stack_results']
