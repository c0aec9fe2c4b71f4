# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of animated heads, and cameras that do not move meanwhile."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import nn

from mmtvface.export.painted_frame import PaintedFrame
from mmtvface.geometry.crop import square_matrix, warp
from mmtvface.reconstruction.results import FrameResult
from mmtvface.utils.checks import check_shape
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.overlay import pixels_to_ndc3d, to_batch
from mmtvface.visualization.posed_face import PosedFace

#: Side of the image over the larger side of what is shown.
MARGIN = 1.1
# Rendered larger by this factor and averaged, which smooths edges.
_FINER = 2
# Share of the head's pixels that folds of the eyelids stay below.
_SPOT = .005
# Side of the window over the larger side of the landmark box.
_WINDOW = 2.


class FixedTexture(nn.Module):
    """A texture that stands in for an albedo model.

    Args:
        texture: (1, 3, S, S) RGB in [0, 1].
    """

    def __init__(self, texture: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer('texture', texture, persistent=False)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """(B, n) -> (B, 3, S, S)."""
        return self.texture.expand(len(code), -1, -1, -1)


class AnimatedFrame(PaintedFrame):
    """A head that was not seen in any image.

    Args:
        painter: Makes pictures.
        result: Codes and geometry.
        lit: The texture is an albedo and wants light; else it is shown as
            it is.
    """

    def __init__(self, painter: FramePainter, result: FrameResult,
                 lit: bool = True) -> None:
        super().__init__(painter, result)
        self._lit = lit

    @cached_property
    def face(self) -> PosedFace:
        """The head in the pixels of the picture."""
        result, codes = self.result, self.result.codes
        return self.painter.pose(
            result.vertices, result.vertices_image, codes.get('tex'),
            codes.get('light') if self._lit else None, result.displacement)

    @cached_property
    def texture(self) -> torch.Tensor | None:
        """(1, 3, S, S) of the meshes: that of the pictures, unlit."""
        return self.face.albedo if self.painter.has_uv_map else None

    def panels(self, kinds: Sequence[str], background: int
               ) -> list[np.ndarray]:
        """The head on a plain background.

        Args:
            kinds: 'shape' (grey, with its detail) or 'textured'.
            background: Grey, 0 to 255.

        Returns:
            (S, S, 3) uint8 RGB by kind; S is the side of the result's frame.
        """
        size = self.result.frame_size[0]
        blank = np.full((size * _FINER, ) * 2 + (3, ), background, np.uint8)
        if not self.result.valid:
            return [blank[:size, :size]] * len(kinds)
        face = self.face.moved(_finer_matrix())
        names = {'shape': shape_kind(face), 'textured': 'rendered'}
        drawn = self.painter.paint(
            face, blank, {names[kind] for kind in kinds})
        inside = inside_pixels(self.painter, face, size * _FINER)
        for picture in drawn.values():
            picture[inside] = background
        return [reduce_picture(drawn[names[kind]], size) for kind in kinds]


@torch.no_grad()
def inside_pixels(painter: FramePainter, face: PosedFace,
                  size: int) -> np.ndarray:
    """Where the inner side of a head is seen, through its open neck.

    Triangles that face away are also seen in the folds of the eyelids: small
    spots that do not reach the outline, which are left out.

    Args:
        painter: With the triangles of the head.
        face: With the pixels of the picture.
        size: Side of the picture.

    Returns:
        (size, size) bool.
    """
    renderer = painter.renderer
    points = to_batch(pixels_to_ndc3d(face.vertices_image, (size, size)),
                      face.device)
    corners = points[0, renderer.faces, :2]
    (ax, ay), (bx, by) = ((corners[:, i] - corners[:, 0]).unbind(-1)
                          for i in (1, 2))
    # y points down: triangles that face the camera have a negative area.
    back = ax * by - ay * bx > 0
    seen = renderer.rasterizer(points, renderer.faces, (size, size))
    inside = (back[seen.face_index.clamp(min=0)] & seen.covered)[0]
    beside = (~seen.covered[0]).byte().cpu().numpy()
    beside[[0, -1]] = beside[:, [0, -1]] = 1
    _, parts = cv2.connectedComponents(inside.byte().cpu().numpy())
    kept = np.bincount(parts.ravel()) > _SPOT * seen.covered.sum().item()
    kept[parts[cv2.dilate(beside, np.ones((3, 3))) > 0]] = True
    kept[0] = False  # what is not inside
    return kept[parts]


def shape_kind(face: PosedFace) -> str:
    """The painter's name of the grey shape with all its detail."""
    return 'overlay' if face.normal_offsets is None else 'detail_overlay'


def _finer_matrix() -> np.ndarray:
    """Pixels of a picture to those of a finer one of the same content."""
    shift = (_FINER - 1) / 2
    return np.array([[_FINER, 0., shift], [0., _FINER, shift], [0., 0., 1.]])


def reduce_picture(picture: np.ndarray, size: int) -> np.ndarray:
    """Average a square picture to (size, size, 3)."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def still_window(landmarks: np.ndarray, size: int,
                 frame_size: Sequence[int] | None = None) -> np.ndarray:
    """A window that does not move and shows a face in all frames.

    Args:
        landmarks: (T, N, 2 or more) pixel indices; frames without a face
            are NaN.
        size: Side of the pictures that the window is shown in.
        frame_size: Height and width of the frames; if known, the window
            stays inside of them as far as the face does.

    Returns:
        (3, 3) pixels of the frames -> pixels of the pictures.

    Raises:
        ValueError: If there is no landmark.
    """
    points = landmarks[..., :2].reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        raise ValueError('A window needs landmarks, but there are none.')
    low, high = points.min(0), points.max(0)
    # One face takes half of the window; where it moves, all of its places
    # are in it with some space around.
    face = float(np.nanmedian(np.ptp(landmarks[..., :2], axis=1).max(1)))
    reach = float((high - low).max())
    side = max(_WINDOW * face, reach + .6 * face)
    center = (low + high) / 2
    if frame_size is not None:
        limit = np.array(frame_size[::-1], np.float64)
        side = max(min(side, float(limit.min())), reach)
        free = np.maximum(limit - side, 0) / 2
        middle = (limit - 1) / 2
        center = np.clip(center, middle - free, middle + free)
        # A face that is cut off by the frame is not centred on the frame.
        center = np.clip(center, high - side / 2, low + side / 2)
    return square_matrix(center, side, size)


def frame_panels(painter: FramePainter, result: FrameResult,
                 image: np.ndarray | None, window: np.ndarray, size: int
                 ) -> list[np.ndarray]:
    """A frame, and the grey shape over it.

    Args:
        painter: Makes pictures.
        result: In pixels of the frame.
        image: (H, W, 3) uint8 RGB; None if it cannot be read.
        window: See :func:`still_window`.
        size: Side of the pictures.

    Returns:
        Two pictures (size, size, 3); twice the frame without a face, black
        ones without an image.
    """
    if image is None:
        return [np.zeros((size, size, 3), np.uint8)] * 2
    if not result.valid:
        return [warp(image, window, size)] * 2
    frame = PaintedFrame(painter, result, image)
    kind = shape_kind(frame.face)
    seen, drawn = frame.resampled(_finer_matrix() @ window, size * _FINER,
                                  [kind])
    return [reduce_picture(seen, size), reduce_picture(drawn[kind], size)]


def inset(panel: np.ndarray, picture: np.ndarray, share: int = 4
          ) -> np.ndarray:
    """Put a small picture with a border into the lower left corner.

    Args:
        panel: (S, S, 3) uint8.
        picture: (S', S', 3) uint8.
        share: S over the side of the small picture.

    Returns:
        (S, S, 3), a new picture.
    """
    out = panel.copy()
    side = max(1, len(panel) // share)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    pad = max(1, len(panel) // 128)
    out[-side - 2 * pad:, :side + 2 * pad] = 255
    out[-side - pad:-pad, pad:side + pad] = small
    return out


def extent_of(batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """Box around all points of a motion.

    Args:
        batches: (B, N, 3) metres each, taken one by one.

    Returns:
        (2, 3) lowest and highest x, y, z over all frames.

    Raises:
        ValueError: If there is no head, or a point is not finite.
    """
    low, high = [], []
    for points in batches:
        check_shape('points', points, ('B', 'N', 3))
        low.append(points.amin((0, 1)))
        high.append(points.amax((0, 1)))
    if not low:
        raise ValueError('A camera needs a head to show, but there is none.')
    extent = torch.stack([torch.stack(low).amin(0),
                          torch.stack(high).amax(0)])
    if not extent.isfinite().all():
        raise ValueError('A point of a head is not finite.')
    return extent


def fit_camera(extent: torch.Tensor, margin: float = MARGIN) -> torch.Tensor:
    """Weak perspective camera that shows a box in the middle of the image.

    Args:
        extent: (2, 3), see :func:`extent_of`.
        margin: Side of the image over the longer side of the box, at least
            1 for everything to be inside.

    Returns:
        (3,) scale, tx, ty, see :func:`mmtvface.geometry.camera.project`.

    Raises:
        ValueError: If the box is empty or the margin not positive.
    """
    check_shape('extent', extent, (2, 3))
    side = (extent[1] - extent[0])[:2].amax()
    if not side > 0 or not margin > 0:
        raise ValueError('A camera needs a box and a margin of positive '
                         f'size, but they are {extent.tolist()} and '
                         f'{margin}.')
    return center_camera(extent, float(2 / (side * margin)))


def center_camera(extent: torch.Tensor, scale: float) -> torch.Tensor:
    """Weak perspective camera of a given scale that looks at a box.

    Args:
        extent: (2, 3), see :func:`extent_of`.
        scale: NDC units per metre.

    Returns:
        (3,) scale, tx, ty, see :func:`mmtvface.geometry.camera.project`.
    """
    check_shape('extent', extent, (2, 3))
    middle = extent.mean(0)
    return torch.stack([middle.new_tensor(scale), -middle[0], -middle[1]])
