# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Consecutive good frames of a track become a clip: squares, masks, files."""

import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtvface.geometry.crop import square_matrix, transform_points, warp
from mmtvface.geometry.face_mask import outline_mask
from mmtvface.io.video_reader import VideoFrame
from mmtvface.tracking.face_track import TrackedFace

from ..clip_quality import difference_hash
from ..settings import ClipSettings
from .clip_writer import ClipFrame, ClipWriter
from .frame_check import FaceMeasures

TOO_SHORT = 'run too short'
STILL = 'still picture'

#: Makes a mask: crop (S, S, 3) RGB, landmarks (68, 2), mesh or None.
MaskMaker = Callable[[np.ndarray, np.ndarray, np.ndarray | None],
                     np.ndarray | None]
#: Counts the time of a part of the work under its name.
Stage = Callable[[str], AbstractContextManager]

# Sides of crops are multiples of this, the block of JPEG.
_BLOCK = 8
# Share of the way to the face that the square goes in each frame.
_CENTER_RATE = 0.15
_SIDE_RATE = 0.05
# The face's box, enlarged by this factor, stays inside of the square.
_ROOM = 1.6
# Limits of a square of whole pixels, relative to the one asked for.
_LEAST, _MOST = .82, 1.3


def build_mask_maker(settings: ClipSettings) -> MaskMaker:
    """Function that makes the masks of the settings.

    Raises:
        ImportError: If facexlib is needed and not installed.
        FileNotFoundError: If its weights are not there.
    """
    if settings.masks == 'none':
        return lambda crop, points, mesh: None
    if settings.masks == 'outline':
        return lambda crop, points, mesh: outline_mask(
            points, crop.shape[:2], mesh)
    from ..face_parsing import FaceParser
    parser = FaceParser(settings.parsing_weights, settings.device)

    def parse(crop: np.ndarray, points: np.ndarray,
              mesh: np.ndarray | None) -> np.ndarray:
        return parser(crop)

    return parse


class LazySquare:
    """Square around a face that only looks back in time.

    Training crops anew by the landmarks, so the stored square need not be
    centred: it must hold the face with enough around it and move evenly. It
    lags behind a face that moves, but never so much that the surroundings of
    the face are cut off.

    Args:
        box: left, top, right, bottom of the face in the first frame, pixel
            indices.
        margin: Side relative to the mean side of the box.
    """

    def __init__(self, box: np.ndarray, margin: float) -> None:
        self.margin = margin
        self._center, size = _center_size(box)
        self._side = size * margin

    def follow(self, box: np.ndarray) -> tuple[np.ndarray, float]:
        """Square of the next frame.

        Args:
            box: (4,) left, top, right, bottom, pixel indices.

        Returns:
            centre (2,) and side in pixels.
        """
        center, size = _center_size(box)
        self._side += _SIDE_RATE * (size * self.margin - self._side)
        room = min(_ROOM, self.margin) * float(max(
            box[2] - box[0], box[3] - box[1]))
        self._side = max(self._side, room)
        self._center = self._center + _CENTER_RATE * (center - self._center)
        reach = (self._side - room) / 2
        self._center = np.clip(self._center, center - reach, center + reach)
        return self._center.copy(), self._side


def on_pixels(center: np.ndarray, side: float, box: np.ndarray,
              pixels: int) -> tuple[np.ndarray, float]:
    """The square of whole pixels of the frame that can stand for another one.

    What is copied pixel by pixel is cropped for training as it would be from
    the frame itself; what is resampled here is resampled twice.

    Args:
        center: (2,) of the square, pixel indices.
        side: Of the square in pixels.
        box: (4,) left, top, right, bottom of the face in it.
        pixels: Side of the stored image.

    Returns:
        Centre and side: ``pixels`` wide with its edges between pixels, if
        that is neither much smaller nor much larger than asked for and holds
        the face; else as it came.
    """
    face, _ = _center_size(box)
    reach = (pixels - _ROOM * float((box[2:] - box[:2]).max())) / 2
    if reach < 0 or not _LEAST * side <= pixels <= _MOST * side:
        return center, side
    half = (pixels - 1) / 2
    return np.rint(np.clip(center, face - reach, face + reach) -
                   half) + half, float(pixels)


def _center_size(box: np.ndarray) -> tuple[np.ndarray, float]:
    box = np.asarray(box, np.float64)
    return (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).mean())


class FaceRun:
    """Frames of one track without a gap, on their way to a clip.

    Args:
        name: Of the clip.
        track: Number of the track in the video.
        face: In the first frame; decides the resolution of the clip.
        folder: Where the clip is written.
        pool: Encodes and writes.
        settings: How clips are made.
        mask_maker: Makes masks.
    """

    def __init__(self, name: str, track: int, face: TrackedFace,
                 folder: Path, pool: Executor, settings: ClipSettings,
                 mask_maker: MaskMaker) -> None:
        self.name = name
        self.track = track
        self.settings = settings
        self._mask_maker = mask_maker
        self._square = LazySquare(face.box, settings.margin)
        _, side = self._square.follow(face.box)
        self._side = min(settings.max_side,
                         max(_BLOCK, int(side) // _BLOCK * _BLOCK))
        self._writer = ClipWriter(folder, pool, settings.image_format,
                                  settings.quality)
        self._image_size: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        """Frames so far."""
        return len(self._writer)

    def add(self, frame: VideoFrame, face: TrackedFace,
            measures: FaceMeasures, stage: Stage) -> None:
        """Crop the face and append the frame.

        Raises:
            OSError: If an earlier frame could not be written.
        """
        self._image_size = frame.image.shape[:2]
        with stage('cropping'):
            center, side = on_pixels(*self._square.follow(face.box),
                                     face.box, self._side)
            matrix = square_matrix(center, side, self._side)
            crop = warp(frame.image, matrix, self._side, 'area')
            points = transform_points(face.landmarks.points, matrix)
            gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        with stage('masks'):
            mesh = face.landmarks.mesh
            mask = self._mask_maker(
                crop, points,
                None if mesh is None else transform_points(mesh, matrix))
        record = {
            'number': frame.index, 'time': round(frame.time, 4),
            'square': [round(float(v), 3) for v in (*center, side)],
            'box': [round(float(v), 2) for v in face.box],
            **{key: value if isinstance(value, bool) else round(value, 4)
               for key, value in asdict(measures).items()},
            'hash': f'{difference_hash(_face_part(gray, points)):016x}',
        }
        with stage('writing'):
            self._writer.add(ClipFrame(crop, points, mask, record))

    def finish(self, meta: dict[str, Any]
               ) -> tuple[dict[str, Any] | None, str]:
        """Complete the clip, or delete it.

        Args:
            meta: What meta.json says about the video.

        Returns:
            Summary of the clip, or None and why there is none.

        Raises:
            OSError: If the clip cannot be written.
        """
        records = self._writer.records
        reason = ''
        if len(records) < self.settings.min_length:
            reason = TOO_SHORT
        elif (sum(record['still'] for record in records)
              > self.settings.max_still * len(records)):
            reason = STILL
        if reason:
            self._writer.wait()
            shutil.rmtree(self._writer.folder)
            return None, reason
        quality = {
            key: round(float(np.median([record[key] for record in records])),
                       4)
            for key in ('size', 'sharpness', 'confidence', 'yaw', 'pitch',
                        'roll')}
        summary = dict(
            id=self.name, track=self.track, first_frame=records[0]['number'],
            num_frames=len(records), fps=meta['fps'], quality=quality)
        self._writer.finish({
            **meta, **summary, 'side': self._side,
            'image_size': list(self._image_size)})
        return summary, ''


def _face_part(gray: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The landmarks' box of a crop, at least two pixels wide and high."""
    limit = np.array(gray.shape[::-1]) - 2
    left, top = np.clip(points.min(0).astype(int), 0, limit)
    right, bottom = np.maximum(points.max(0).astype(int) + 1,
                               [left + 2, top + 2])
    return gray[top:bottom, left:right]
