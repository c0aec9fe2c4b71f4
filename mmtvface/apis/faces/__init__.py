# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Faces of a film: their tracks, piece by piece between cuts."""

from .face_log import FaceLog
from .face_track import CropPlan, Face, FaceTrack
from .segments import FACES, Segment, SegmentCutter

__all__ = ['CropPlan', 'FACES', 'Face', 'FaceLog', 'FaceTrack',
           'Segment', 'SegmentCutter']
