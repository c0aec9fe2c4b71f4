# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Use trained models: images, folders and videos to faces and files."""

from mmtvface.export.painted_frame import pose_result
from mmtvface.export.save import save_results
from mmtvface.export.writers.codes import stack_results
from mmtvface.reconstruction.results import FrameResult
from mmtvface.tracking.frame_source import FrameSource, open_frames

from .face_reconstructor import FaceReconstructor, to_datasample

__all__ = ['FaceReconstructor', 'FrameResult', 'FrameSource', 'open_frames',
           'pose_result', 'save_results', 'stack_results', 'to_datasample']
