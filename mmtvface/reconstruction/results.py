# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is reconstructed from one frame, and of which frames nothing is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.logging import print_log
from torch import nn

from mmtvface.geometry.camera import project
from mmtvface.geometry.mesh import (
    FACING_LANDMARK,
    facing_camera,
    vertex_normals,
)
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.tracking.face_track import Face, FrameDetections
from mmtvface.utils.time_code import time_code

OK = 'ok'
NO_FACE = 'no_face'
UNREADABLE = 'unreadable'
FAILED = 'failed'

_SHOWN = 5  # names of frames without a result


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
            :func:`landmark_visibility`.
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


def landmark_visibility(flame: nn.Module, vertices: torch.Tensor,
                        cam: torch.Tensor, pose: torch.Tensor
                        ) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether landmarks lie on the side of the head that is seen.

    A landmark is visible where the normal of the projected mesh, read at its
    place on the surface, has a z below 0.1 (DECA, Feng et al., SIGGRAPH
    2021). Things in front of the face are not considered.

    Args:
        flame: Head model with ``faces`` and ``vertices_to_landmarks``.
        vertices: (B, V, 3) metres.
        cam: (B, 3).
        pose: (B, 6) axis-angle; the first three turn the head, and so
            choose the contour of the 2D landmarks.

    Returns:
        Visibility of the 2D and of the 3D landmarks, (B, 68) bool each.
    """
    normals = vertex_normals(project(vertices, cam), flame.faces)
    both = flame.vertices_to_landmarks(
        normals, axis_angle_to_matrix(pose[:, :3]))
    return tuple(facing_camera(at, FACING_LANDMARK) for at in both)


def result_without_face(frame: FrameDetections, faces: list[Face]
                        ) -> FrameResult:
    """The result of a frame of which nothing is known."""
    status, problem = NO_FACE, frame.problem
    if frame.size is None:
        status = UNREADABLE
    elif faces:
        status, problem = UNREADABLE, 'the image could not be read again'
    elif not problem:
        problem = ('another face is followed' if frame.faces
                   else 'no face was found')
    return FrameResult(index=frame.index, name=frame.name, status=status,
                       problem=problem, frame_size=frame.size, time=frame.time)


class LostFrames:
    """Counts them, and remembers some.

    Args:
        name: Of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._frames = self._lost = self._unreadable = 0
        self._names: list[str] = []
        self._reason = ''

    @property
    def found(self) -> bool:
        """Whether a face was found."""
        return self._lost < self._frames

    def add(self, frame: FrameDetections, results: Sequence[FrameResult]
            ) -> None:
        """Take note of a frame and its results."""
        self._frames += 1
        if any(result.track_id >= 0 for result in results):
            return
        self._lost += 1
        self._unreadable += results[0].status == UNREADABLE
        self._reason = self._reason or results[0].problem
        if len(self._names) < _SHOWN:
            self._names.append(frame.name if frame.time is None else
                               f'{frame.name} at {time_code(frame.time)}')

    def report(self) -> None:
        """Log what was lost.

        Raises:
            ValueError: If no frame has a face.
        """
        if not self.found:
            raise ValueError(self._nothing_found())
        if self._lost:
            more = ', ...' if self._lost > _SHOWN else ''
            print_log(
                f'{self._name}: {self._lost} of {self._frames} frames are '
                f'skipped ({self._unreadable} unreadable, '
                f'{self._lost - self._unreadable} without the face): '
                f'{", ".join(self._names)}{more}. First reason: '
                f'{self._reason}.', logger='current', level=30)

    def _nothing_found(self) -> str:
        if not self._frames:
            return f'{self._name} has no frames.'
        if self._unreadable == self._frames:
            return (f'None of the {self._frames} frames of {self._name} can '
                    f'be read: {self._reason}.')
        return (f'No face was found in any of the {self._frames} frames of '
                f'{self._name}. A face should be upright, lit, and not much '
                'smaller than 1/20 of the frame; crop the frames, or give '
                'the 68 landmarks in a clip folder (jpg/<name>.jpg with '
                'kpt/<name>_kpt2d.npy).')
