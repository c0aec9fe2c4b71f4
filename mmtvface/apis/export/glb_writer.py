# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animated heads for game engines, Blender and browsers."""

from pathlib import Path

import numpy as np

from mmtvface.utils.gltf import BinaryChunk
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.overlay import to_pixels

from ..results import FrameResult
from .head_rig import build_rig
from .painted_frame import PaintedFrame
from .rigged_mesh import Atlas, rig_document
from .tracks import TrackWriter

#: A texture is made anew only for a clearly more frontal view: each takes as
#: long as a frame.
_MORE_FRONTAL = .7


class GlbWriter(TrackWriter):
    """``glb/track<id>.glb``: one animated head per face, glTF 2.0.

    The rig is that of :mod:`.head_rig`: the mean identity at rest, morph
    targets for expressions and pose correctives, a skin of five joints. It
    is in model space (metres, +y up, +z out of the face) and turns about
    its own joints; where the head is in the picture is in ``codes`` and
    ``flame_npz``. Keyframes are at frame / fps from the start of the
    input; while there is no face, the last pose is held. Texture and
    normal map, where the model has them, are those of the most frontal view.

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
        self._views: dict[int, tuple[float, Atlas]] = {}

    def look(self, frame: PaintedFrame) -> None:
        """Take the images of the most frontal view so far."""
        if not (frame.drawable and self._painter.has_atlas):
            return
        track = frame.result.track_id
        angle = float(np.linalg.norm(frame.result.codes['pose'][:3]))
        if track in self._views and (
                angle > _MORE_FRONTAL * self._views[track][0]):
            return
        self._views[track] = angle, self._atlas(
            to_pixels(frame.texture[0]), self._painter.normal_map(frame.face))

    def _atlas(self, texture: np.ndarray | None = None,
               normal_map: np.ndarray | None = None) -> Atlas:
        renderer = self._painter.renderer
        faces = renderer.faces.cpu().numpy()
        if not self._painter.has_atlas:
            return Atlas(faces)
        return Atlas(faces, renderer.uv_coords.cpu().numpy(),
                     renderer.uv_faces.cpu().numpy(), texture, normal_map)

    def write(self, path: Path, track: int,
              results: list[FrameResult]) -> None:
        """Write the animation of one track."""
        names = [name for name in ('shape', 'exp', 'pose', 'neck_pose',
                                   'eye_pose') if name in results[0].codes]
        rig = build_rig(self._painter.flame, {
            name: np.stack([result.codes[name] for result in results])
            for name in names})
        atlas = (self._views[track][1] if track in self._views
                 else self._atlas())
        chunk = BinaryChunk()
        chunk.write(path, rig_document(
            chunk, rig, atlas, np.array([r.index for r in results]),
            self.fps))
