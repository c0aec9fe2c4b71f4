# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Use trained models: images, folders and videos to faces and files."""

from mmtvface.export import pose_result, save_results, stack_results
from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
from mmtvface.reconstruction.results import FrameResult
from mmtvface.tracking.frame_source import FrameSource, open_frames

__all__ = ['FaceReconstructor', 'FrameResult', 'FrameSource', 'open_frames',
           'pose_result', 'save_results', 'stack_results']
