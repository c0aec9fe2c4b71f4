# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Centres of the eyeballs, and gaze as rotations about them."""

from typing import NamedTuple

import numpy as np
import torch

from mmtvface.geometry.alignment import procrustes
from mmtvface.geometry.rotation import matrix_to_axis_angle

from .jaw import rotation

_STILL = np.radians(.5)


class Sphere(NamedTuple):
    """A sphere: (3,) centre and radius."""

    center: np.ndarray
    radius: float


def fit_sphere(points: np.ndarray, rounds: int = 8) -> Sphere:
    """Sphere through points (N, 3), least squares without outliers.

    The algebraic fit |x|^2 = 2 c x + (r^2 - |c|^2) is repeated without the
    points that lie far from the sphere: the cornea, the iris behind it.

    Raises:
        ValueError: If the points do not span a sphere.
    """
    middle = points.mean(0)
    offset = points - middle
    kept = np.ones(len(points), dtype=bool)
    sphere = None
    for _ in range(rounds):
        chosen = offset[kept]
        system = np.concatenate([2 * chosen, np.ones((len(chosen), 1))], 1)
        solution, _, rank, _ = np.linalg.lstsq(
            system, (chosen**2).sum(1), rcond=1e-9)
        if rank < 4:
            raise ValueError(f'{len(points)} vertices of an eyeball do not '
                             'lie on a sphere.')
        center = solution[:3]
        sphere = Sphere(middle + center,
                        float(np.sqrt(solution[3] + center @ center)))
        miss = np.abs(np.linalg.norm(offset - center, axis=1) -
                      sphere.radius)
        # never fewer than half: the ball is what most points agree on
        kept = miss <= max(np.median(miss), min(
            3 * np.median(miss), .02 * sphere.radius))
    return sphere


class Gaze(NamedTuple):
    """An expression without the turning of the eyeballs.

    Attributes:
        offsets: (V, 3) metres, to be added before the eyes turn.
        poses: ``'left_eye'``/``'right_eye'`` -> (3,) axis-angle of those
            eyes that turn.
    """

    offsets: np.ndarray
    poses: dict[str, np.ndarray]


def split_gaze(vertices: np.ndarray, offsets: np.ndarray,
               balls: dict[str, np.ndarray],
               centers: dict[str, np.ndarray]) -> Gaze:
    """Take the turning of the eyeballs out of an expression.

    Together, the offsets and the eyes' joints at the poses give the
    expression exactly.

    Args:
        vertices: (V, 3) metres.
        offsets: (V, 3) the whole expression.
        balls: Eye -> (V,) bool.
        centers: Eye -> (3,) metres.
    """
    offsets, poses = offsets.copy(), {}
    for eye, members in balls.items():
        rest = vertices[members] - centers[eye]
        there = rest + offsets[members]
        # mirrored copies of both make the alignment turn about the centre
        turn = procrustes(np.concatenate([rest, -rest]),
                          np.concatenate([there, -there]),
                          with_scale=False).rotation
        pose = matrix_to_axis_angle(torch.from_numpy(turn)).numpy()
        if np.linalg.norm(pose) < _STILL:
            continue
        poses[eye] = pose
        offsets[members] = there @ rotation(pose) - rest
    return Gaze(offsets, poses)
