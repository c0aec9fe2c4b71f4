# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is reconstructed from one frame."""

from dataclasses import dataclass, field

import numpy as np
import torch

from mmtvface.geometry.rotation import axis_angle_to_matrix

OK = 'ok'
NO_FACE = 'no_face'
UNREADABLE = 'unreadable'
FAILED = 'failed'


@dataclass(frozen=True)
class FrameResult:
    """Reconstruction of one frame, in the frame's own pixels.

    Pixel coordinates are indices: the centre of the first pixel is 0. Fields
    are None (``codes`` empty) where ``valid`` is false.

    Attributes:
        index: Position in the input, from 0.
        name: Unique and fit for a file name: that of the frame, and where
            several people are reconstructed ``<frame>_track<id>``.
        status: 'ok', 'no_face', 'unreadable' (the image), or 'failed' (the
            model gave numbers that are not finite).
        problem: Explanation where the status is not 'ok'.
        frame_size: Height and width, None if unreadable.
        track_id: Number of the face in order of appearance, -1 if none.
        codes: Name -> (C,) float32; ``light`` is (9, 3). ``cam`` belongs to
            the crop; ``camera`` is its counterpart for the frame. ``detail``
            is there if the model has a detail branch.
        vertices: (V, 3) float32 metres, model space.
        camera: (3, 4) float64, maps (x, y, z, 1) in metres to x, y in
            pixels of the frame and depth in pixels, smaller nearer.
        landmarks2d: (68, 2) float64 pixels, of the model, with the contour
            that is visible.
        landmarks3d: (68, 3) float64 pixels and depth, fixed on the surface.
        visible2d: (68,) bool, which of ``landmarks2d`` face the camera, see
            :func:`~.landmark_visibility.landmark_visibility`.
        visible3d: (68,) bool, the same of ``landmarks3d``.
        displacement: (S, S) float32 metres along the normal, the detail of
            the surface in the UV map; None without a detail branch.
        crop_matrix: (3, 3) float64, frame pixels -> crop pixels.
        crop_size: Side of the crop in pixels.
        detection: (68, 2) float64 pixels, the landmarks that placed the
            crop.
        detection_source: 'given' or 'detected'; 'interpolated' where the
            face was not found, but shortly before and after.
        frame_name: Of the frame; several results may share it. Default:
            ``name``.
        time: Of the frame in seconds since the first; None where all frames
            are shown for the same time.
        source: Name of the input.
    """

    index: int
    name: str
    status: str = OK
    problem: str = ''
    frame_size: tuple[int, int] | None = None
    track_id: int = -1
    codes: dict[str, np.ndarray] = field(default_factory=dict)
    vertices: np.ndarray | None = None
    camera: np.ndarray | None = None
    landmarks2d: np.ndarray | None = None
    landmarks3d: np.ndarray | None = None
    visible2d: np.ndarray | None = None
    visible3d: np.ndarray | None = None
    displacement: np.ndarray | None = None
    crop_matrix: np.ndarray | None = None
    crop_size: int | None = None
    detection: np.ndarray | None = None
    detection_source: str = ''
    frame_name: str = ''
    time: float | None = None
    source: str = ''

    def __post_init__(self) -> None:
        if not self.frame_name:
            object.__setattr__(self, 'frame_name', self.name)

    @property
    def valid(self) -> bool:
        """Whether there is a reconstruction."""
        return self.status == OK

    @property
    def vertices_image(self) -> np.ndarray | None:
        """(V, 3) float64: vertices in pixels of the frame, and depth."""
        if self.vertices is None:
            return None
        return (self.vertices.astype(np.float64) @ self.camera[:, :3].T
                + self.camera[:, 3])


def frame_camera(cam: np.ndarray, crop_matrix: np.ndarray,
                 crop_size: int) -> np.ndarray:
    """Camera of the frame from the camera of a crop.

    The weak perspective camera of the crop, ndc = s (x + tx, -(y + ty), -z),
    is put into pixel indices of the crop and mapped back to the frame; depth
    grows in the same proportion.

    Args:
        cam: (3,) s, tx, ty.
        crop_matrix: (3, 3) similarity, frame -> crop pixel indices.
        crop_size: Side of the crop in pixels.

    Returns:
        (3, 4) float64, metres -> pixels of the frame, see
        :class:`FrameResult`.
    """
    scale, shift_x, shift_y = np.asarray(cam, np.float64)
    half = scale * crop_size / 2
    middle = (crop_size - 1) / 2
    to_crop = np.array([[half, 0., 0., half * shift_x + middle],
                        [0., -half, 0., -half * shift_y + middle],
                        [0., 0., 0., 1.]])
    to_frame = np.linalg.inv(crop_matrix)
    zoom = np.sqrt(abs(np.linalg.det(to_frame[:2, :2])))
    camera = to_frame @ to_crop
    camera[2] = [0., 0., -half * zoom, 0.]
    return camera


def head_rotation(result: FrameResult) -> np.ndarray:
    """Rotation of a head as it is seen, the turn of the crop included.

    Args:
        result: A valid one with the code ``pose``.

    Returns:
        (3, 3) float64, from the axes of the head to those of the frame with
        y up and z to the viewer.
    """
    linear = result.camera[:, :3] * np.array([1., -1., -1.])[:, None]
    turn = axis_angle_to_matrix(torch.from_numpy(
        result.codes['pose'][:3].astype(np.float64))).numpy()
    return linear / np.cbrt(np.linalg.det(linear)) @ turn
