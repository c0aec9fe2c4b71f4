# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animated heads for game engines, Blender and browsers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.io.column_store import ColumnStore
from mmtvface.io.gltf import BinaryChunk
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.overlay import to_pixels

from .head_rig import build_rig
from .painted_frame import PaintedFrame
from .rigged_mesh import UVMap, rig_document
from .tracks import TrackWriter

#: A texture is made anew only for a clearly more frontal view: each takes as
#: long as a frame.
_MORE_FRONTAL = .7
_MOVING = ('shape', 'exp', 'pose', 'neck_pose', 'eye_pose')


class GlbWriter(TrackWriter):
    """``glb/track<id>.glb``: one animated head per face, glTF 2.0.

    The rig is that of :mod:`.head_rig`: the mean identity at rest, morph
    targets for expressions and pose correctives, a skin of five joints. It
    is in model space (metres, +y up, +z out of the face) and turns about
    its own joints; where the head is in the picture is in ``codes`` and
    ``flame_npz``. Keyframes are at the times of the frames from the start of
    the input, frame / fps where these come evenly; while there is no face,
    the last pose is held. Texture and normal map, where the model has them,
    are those of the most frontal view; they wait on the disk as well, some
    hundred kilobytes to megabytes per track.

    Args:
        out_dir: Folder of all results.
        fps: Frames per second.
        painter: With the head model.
    """

    kind, suffix = 'glb', '.glb'

    def __init__(self, out_dir: Path, fps: float,
                 painter: FramePainter) -> None:
        super().__init__(out_dir, fps)
        self._painter = painter
        self._images = ColumnStore(self.path)
        # Of each track: the angle of its most frontal view, and its row.
        self._views: dict[int, tuple[float, int]] = {}

    def look(self, frame: PaintedFrame) -> dict[str, Any]:
        """Take the images of the most frontal view so far."""
        if not (frame.drawable and self._painter.has_uv_map):
            return {}
        track = frame.result.track_id
        angle = float(np.linalg.norm(frame.result.codes['pose'][:3]))
        best, row = self._views.get(track, (np.inf, -1))
        if angle > _MORE_FRONTAL * best:
            return {}
        images = dict(
            texture=to_pixels(frame.texture[0]),
            normal_map=self._painter.normal_map(frame.face))
        if row < 0:
            row = self._images.append(images)
        else:
            for name, pixels in images.items():
                if pixels is not None:
                    self._images.replace(row, name, pixels)
        self._views[track] = angle, row
        return {}

    def _uv_map(self, track: int) -> UVMap:
        renderer = self._painter.renderer
        faces = renderer.faces.cpu().numpy()
        if not self._painter.has_uv_map:
            return UVMap(faces)
        images = {}
        if track in self._views:
            row = self._views[track][1]
            images = {name: pixels[0] for name, pixels in
                      self._images.gather(np.array([row])).items()}
        return UVMap(faces, renderer.uv_coords.cpu().numpy(),
                     renderer.uv_faces.cpu().numpy(), **images)

    def write(self, path: Path, track: int,
              arrays: Mapping[str, np.ndarray]) -> None:
        """Write the animation of one track."""
        rig = build_rig(self._painter.flame, {
            name: arrays[name] for name in _MOVING if name in arrays})
        chunk = BinaryChunk()
        chunk.write(path, rig_document(
            chunk, rig, self._uv_map(track), arrays['frame_index'], self.fps,
            arrays['time'], arrays['time_before']))

    def finish(self) -> bool:
        """Write a file for each track."""
        with self._images:
            return super().finish()
