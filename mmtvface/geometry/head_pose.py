# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pose of a head from its 68 landmarks, without a camera or a fitted model.

A generic head is fitted to the landmarks under scaled orthographic projection:
first the affine map from its points to the image that is best in the sense of
least squares, then the scaled rotation that is nearest to that map (the "POS"
step of DeMenthon & Davis, "Model-based object pose in 25 lines of code", IJCV
1995, with the rotation made orthonormal by a singular value
decomposition instead of cross products). Both are closed forms, so that a
whole video is done at once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .landmarks import (
    INNER_EYE_CORNERS,
    NOSE,
    NUM_LANDMARKS,
    OUTER_EYE_CORNERS,
)

#: (68, 3) landmarks of a generic head in iBUG order, those of the built-in
#: procedural head: x to the person's left (the image's right), y up, z to the
#: front. The origin lies between the outer corners of the eyes, whose
#: distance is the unit.
HEAD_POINTS = np.array([
    (-.824, .022, -.544), (-.814, -.223, -.521), (-.775, -.435, -.454),
    (-.738, -.645, -.376), (-.644, -.882, -.274), (-.478, -1.078, -.133),
    (-.340, -1.151, .020), (-.163, -1.183, .184), (.000, -1.217, .196),
    (.163, -1.183, .184), (.340, -1.151, .020), (.478, -1.078, -.133),
    (.644, -.882, -.274), (.738, -.645, -.376), (.775, -.435, -.454),
    (.814, -.223, -.521), (.824, .022, -.544), (-.644, .189, -.078),
    (-.550, .277, .050), (-.436, .309, .154), (-.267, .300, .215),
    (-.133, .278, .234), (.133, .278, .234), (.267, .300, .215),
    (.436, .309, .154), (.550, .277, .050), (.644, .189, -.078),
    (.000, .038, .243), (.000, -.085, .328), (.000, -.195, .417),
    (.000, -.332, .504), (-.158, -.523, .272), (-.073, -.519, .321),
    (.000, -.532, .345), (.073, -.519, .321), (.158, -.523, .272),
    (-.500, .000, .000), (-.437, .044, .094), (-.308, .056, .109),
    (-.200, -.020, .064), (-.299, -.047, .091), (-.438, -.047, .070),
    (.200, -.020, .064), (.308, .056, .109), (.437, .044, .094),
    (.500, .000, .000), (.438, -.047, .070), (.299, -.047, .091),
    (-.279, -.777, .180), (-.188, -.689, .288), (-.079, -.655, .348),
    (.000, -.655, .357), (.079, -.655, .348), (.188, -.689, .288),
    (.279, -.777, .180), (.200, -.833, .256), (.112, -.867, .313),
    (.000, -.868, .338), (-.112, -.867, .313), (-.200, -.833, .256),
    (-.244, -.767, .167), (-.112, -.749, .280), (.000, -.759, .302),
    (.112, -.749, .280), (.244, -.767, .167), (.124, -.752, .269),
    (.000, -.763, .303), (-.124, -.752, .269),
])

#: Landmarks that the pose is taken from: not the contour, which slides along
#: the jaw when the head turns, nor the lower lip, which moves with the jaw.
RIGID: tuple[int, ...] = (*range(17, 49), 51, 54)

#: Landmarks that no expression moves: nose, corners of the eyes, and the ends
#: of the contour, which lie far behind them. For the motion of a head over
#: time, if the detector's contour stays on the surface (MediaPipe's does):
#: on seven videos of speakers yaw, pitch and roll of MediaPipe's own mesh were
#: followed with correlations of 0.79 to 1.00, with :data:`RIGID`, which a
#: raised brow turns, of 0.64 to 0.99.
STABLE: tuple[int, ...] = (0, 16, *NOSE, *OUTER_EYE_CORNERS,
                           *INNER_EYE_CORNERS)


class HeadFit(NamedTuple):
    """A generic head fitted to landmarks.

    Attributes:
        rotation: (..., 3, 3) from the axes of :data:`HEAD_POINTS` to those
            of the image with y up and z to the viewer, determinant 1.
        scale: (...,) distance of the outer eye corners of the head as it
            would be seen from the front, pixels.
        residual: (...,) root mean square distance of the rigid landmarks
            from those of the fitted head, relative to ``scale``.
    """

    rotation: np.ndarray
    scale: np.ndarray
    residual: np.ndarray


@lru_cache
def _solver(rigid: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Some points of the head about their centre, and the pseudo-inverse.

    Kept: videos ask for the same two sets, for every face of every frame.

    Args:
        rigid: R landmarks.

    Returns:
        (R, 3) and (3, R).
    """
    head = HEAD_POINTS[list(rigid)] - HEAD_POINTS[list(rigid)].mean(0)
    return head, np.linalg.pinv(head)


def fit_head(landmarks: np.ndarray,
             rigid: Sequence[int] = RIGID) -> HeadFit:
    """Fit the generic head.

    Args:
        landmarks: (..., 68, 2 or more) x to the right, y down.
        rigid: Landmarks that it is fitted to, :data:`RIGID` or
            :data:`STABLE`.

    Returns:
        The fit; NaN where landmarks are not finite or all on one line.

    Raises:
        ValueError: If the landmarks have another shape.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim < 2 or points.shape[-2] != NUM_LANDMARKS or (
            points.shape[-1] < 2):
        raise ValueError('landmarks must have the shape (..., 68, 2), but '
                         f'they are {points.shape}.')
    head, solve = _solver(tuple(rigid))
    points = points[..., list(rigid), :2] * [1., -1.]
    known = np.isfinite(points).all((-2, -1))
    points = np.where(known[..., None, None], points, 0.)
    points = points - points.mean(-2, keepdims=True)
    affine = np.swapaxes(solve @ points, -1, -2)  # (..., 2, 3)
    u, singular, vh = np.linalg.svd(affine, full_matrices=False)
    known = known & (singular[..., 1] > 1e-6 * singular[..., 0])
    rows = u @ vh
    rotation = np.concatenate(
        [rows, np.cross(rows[..., 0, :], rows[..., 1, :])[..., None, :]], -2)
    # The best scale for this rotation.
    seen = head @ np.swapaxes(rows, -1, -2)  # (..., R, 2)
    power = (seen**2).sum((-2, -1))
    scale = (seen * points).sum((-2, -1)) / power
    known = known & (scale > 0)
    safe = np.where(known, scale, 1.)
    error = points - safe[..., None, None] * seen
    residual = np.sqrt((error**2).sum(-1).mean(-1)) / safe
    nan = np.nan
    return HeadFit(np.where(known[..., None, None], rotation, nan),
                   np.where(known, scale, nan),
                   np.where(known, residual, nan))


def euler_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of ``Rz(roll) Ry(yaw) Rx(pitch)``.

    Args:
        rotation: (..., 3, 3).

    Returns:
        (..., 3) yaw in [-90, 90], pitch and roll in [-180, 180], degrees,
        by the right-hand rule; NaN where the rotation is.
    """
    yaw = np.arcsin(np.clip(-rotation[..., 2, 0], -1., 1.))
    pitch = np.arctan2(rotation[..., 2, 1], rotation[..., 2, 2])
    roll = np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return np.rad2deg(np.stack([yaw, pitch, roll], -1))


def head_pose(landmarks: np.ndarray,
              rigid: Sequence[int] = RIGID) -> np.ndarray:
    """Yaw, pitch and roll of heads.

    The angles turn the head about the axes of FLAME (y up, z to the viewer)
    with the right-hand rule, first pitch, then yaw, then roll, as
    ``Rz(roll) Ry(yaw) Rx(pitch)``. 0, 0, 0 looks into the camera.

    * yaw > 0: the face turns to the right of the image (to the person's own
      left);
    * pitch > 0: the face looks down;
    * roll > 0: the head tilts counter-clockwise in the image (to the
      person's own right shoulder).

    They are those of a generic head: expect an error of some degrees that
    depends on the person, most in the pitch.

    Args:
        landmarks: (..., 68, 2 or more) x to the right, y down, any unit.
        rigid: Landmarks that count, see :func:`fit_head`.

    Returns:
        (..., 3) float64 yaw in [-90, 90], pitch and roll in [-180, 180],
        degrees; NaN where landmarks are not finite or all on one line.

    Raises:
        ValueError: If the landmarks have another shape.
    """
    return euler_angles(fit_head(landmarks, rigid).rotation)
