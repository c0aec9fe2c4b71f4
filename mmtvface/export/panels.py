# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Input and reconstruction side by side, around the face."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmtvface.geometry.crop import transform_points
from mmtvface.geometry.encodings import view_depth
from mmtvface.io.video_writer import fit_frame
from mmtvface.visualization.drawing import GREEN, RED, draw_landmarks

from .painted_frame import PaintedFrame
from .picture_writers import OverlayVideoWriter

_WIDER = 1.2  # than the crop of the model


def panels(frame: PaintedFrame, side: int, kinds: Sequence[str]
           ) -> list[np.ndarray]:
    """Pictures of a face, somewhat wider than the crop of the model.

    Args:
        frame: With a face and an image.
        side: Of each picture in pixels.
        kinds: Pictures; those that the model has no part for are left out.

    Returns:
        Input; landmarks (of the input green, of the model red); mesh over the
        input; then the kinds: (side, side, 3) uint8 each.
    """
    # Drawn twice as large and averaged, for smooth edges
    fine = 2 * side
    result = frame.result
    zoom = fine / result.crop_size / _WIDER
    shift = (fine - 1) / 2 - zoom * (result.crop_size - 1) / 2
    matrix = np.array([[zoom, 0, shift], [0, zoom, shift], [0, 0, 1]]
                      ) @ result.crop_matrix
    kinds = [kind for kind in kinds if not frame.painter.missing_part(kind)]
    image, drawn = frame.resampled(matrix, fine, ['overlay', *kinds])
    if 'depth' in drawn:
        drawn['depth'] = view_depth(drawn['depth'])
    marked = image
    for points, color in ((result.detection, GREEN),
                          (result.landmarks2d, RED)):
        marked = draw_landmarks(
            marked, transform_points(points, matrix), color)
    return [cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA)
            for cell in (image, marked, drawn['overlay'],
                         *(drawn[kind] for kind in kinds))]


class ComparisonVideoWriter(OverlayVideoWriter):
    """``side_by_side.mp4``: input, landmarks, mesh, mesh with detail, normals.

    Of several faces the nearest is shown. A frame without a face is shown
    alone.
    """

    SIDE = 256
    _KINDS = ('detail_overlay', 'normals')

    def target(self, out_dir: Path) -> Path:
        """File of the video."""
        return out_dir / 'side_by_side.mp4'

    def picture(self, faces: Sequence[PaintedFrame]) -> np.ndarray:
        """(SIDE, n * SIDE, 3) uint8."""
        frame = max(faces, key=lambda face: face.scale)
        if frame.drawable:
            return np.hstack(panels(frame, self.SIDE, self._KINDS))
        count = 3 + sum(not frame.painter.missing_part(kind)
                        for kind in self._KINDS)
        empty = np.zeros((self.SIDE, (count - 1) * self.SIDE, 3), np.uint8)
        return np.hstack([fit_frame(frame.image, self.SIDE, self.SIDE),
                          empty])
