# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""One result with its frame; everything drawn from it is made once."""

from collections.abc import Collection, Sequence
from functools import cached_property

import cv2
import numpy as np
import torch

from mmtvface.geometry.crop import transform_points, warp
from mmtvface.reconstruction.results import FrameResult
from mmtvface.visualization.drawing import GREEN, RED, draw_landmarks
from mmtvface.visualization.encodings import view_depth
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.posed_face import PosedFace

_WIDER = 1.2  # than the crop of the model


def pose_result(painter: FramePainter, result: FrameResult) -> PosedFace:
    """The head of a valid result, in the pixels of its frame."""
    codes = result.codes
    return painter.pose(result.vertices, result.vertices_image,
                        codes.get('tex'), codes.get('light'),
                        result.displacement)


class PaintedFrame:
    """What is made of one result; it lives until the next frame comes.

    Args:
        painter: Makes pictures.
        result: Of the frame, one of several where it has several faces.
        image: (H, W, 3) uint8 RGB; None if it was not read (again).
        kinds: Pictures that will be asked for.
        time: Of the frame, see :class:`mmtvface.tracking.frame_source.Frame`.

    Attributes:
        drawable: Whether there are a face and an image.
    """

    def __init__(self, painter: FramePainter, result: FrameResult,
                 image: np.ndarray | None = None,
                 kinds: Collection[str] = (),
                 time: float | None = None) -> None:
        self.painter, self.result, self.image = painter, result, image
        self.time = time
        self.drawable = result.valid and image is not None
        self._kinds = kinds

    @cached_property
    def face(self) -> PosedFace:
        """The head in the pixels of the frame."""
        return pose_result(self.painter, self.result)

    @property
    def scale(self) -> float:
        """Pixels per metre, larger the nearer the face is; 0 without one."""
        return (float(np.linalg.norm(self.result.camera[0, :3]))
                if self.result.valid else 0.)

    def forget(self) -> None:
        """Drop the pictures; they are made anew when they are needed."""
        for name in ('in_frame', 'in_crop', 'texture'):
            vars(self).pop(name, None)

    @cached_property
    def in_frame(self) -> dict[str, np.ndarray]:
        """Pictures at the size of the frame, by kind."""
        return self.painter.paint(self.face, self.image, self._kinds)

    @cached_property
    def in_crop(self) -> dict[str, np.ndarray]:
        """Pictures at the size of the model's crop, by kind."""
        return self.resampled(self.result.crop_matrix, self.result.crop_size,
                              self._kinds)[1]

    def resampled(self, matrix: np.ndarray, size: int,
                  kinds: Collection[str]
                  ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The frame resampled, and pictures rendered at that size.

        Args:
            matrix: (3, 3) pixels of the frame -> pixels of the picture.
            size: Side of the picture.
            kinds: Pictures.
        """
        image = warp(self.image, matrix, size)
        return image, self.painter.paint(self.face.moved(matrix), image,
                                         kinds)

    def comparison(self, side: int, kinds: Sequence[str]) -> list[np.ndarray]:
        """Pictures of a face, somewhat wider than the crop of the model.

        Args:
            side: Of each picture in pixels.
            kinds: Pictures; those that the model has no part for are left
                out.

        Returns:
            Input; landmarks (of the input green, of the model red); mesh
            over the input; then the kinds: (side, side, 3) uint8 each.
        """
        # Drawn twice as large and averaged, for smooth edges
        fine, result = 2 * side, self.result
        zoom = fine / result.crop_size / _WIDER
        shift = (fine - 1) / 2 - zoom * (result.crop_size - 1) / 2
        matrix = np.array([[zoom, 0, shift], [0, zoom, shift], [0, 0, 1]]
                          ) @ result.crop_matrix
        kinds = [kind for kind in kinds
                 if not self.painter.missing_part(kind)]
        image, drawn = self.resampled(matrix, fine, ['overlay', *kinds])
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

    @cached_property
    def texture(self) -> torch.Tensor | None:
        """(1, 3, T, T); None without a UV map or an image."""
        if not (self.drawable and self.painter.has_uv_map):
            return None
        return self.painter.bake_texture(self.face, self.image)


def paint_all(faces: Sequence[PaintedFrame], kind: str) -> np.ndarray:
    """All faces of a frame in one picture, nearer ones over farther ones.

    Args:
        faces: Of the same frame, which has an image.
        kind: Of the pictures that show the frame itself.

    Returns:
        (H, W, 3) uint8; the frame as it is, if it has no face.
    """
    drawable = sorted((face for face in faces if face.drawable),
                      key=lambda face: face.scale)
    if len(drawable) == 1:  # others may have asked for it as well
        return drawable[0].in_frame[kind]
    picture = faces[0].image
    for face in drawable:
        picture = face.painter.paint(face.face, picture, [kind])[kind]
    return picture
