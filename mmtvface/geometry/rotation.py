# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rotations as axis-angle vectors and as matrices."""

import numpy as np
import torch

# Below this squared angle (radians^2) the series replaces the quotients. At
# the border the first omitted term is below the resolution of float64.
_SMALL = 1e-3


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    r"""Rotation matrices of axis-angle vectors (Rodrigues' formula).

    $$
    R = \cos\theta\, I + \frac{\sin\theta}{\theta}\,[r]_\times
    + \frac{1 - \cos\theta}{\theta^2}\, r r^T, \quad \theta = |r|
    $$

    Exact and smooth everywhere, at zero too. The published FLAME code uses
    $\theta = |r + 10^{-8}|$, which has no value at $r = -10^{-8}$; the two
    agree to 1e-8.

    Args:
        axis_angle: (..., 3) axis times angle, radians.

    Returns:
        (..., 3, 3) rotation matrices (for column vectors).

    Examples:
        A quarter turn about y takes z to x.

        >>> turn = axis_angle_to_matrix(torch.tensor([0., torch.pi / 2, 0.]))
        >>> (turn @ torch.tensor([0., 0., 1.])).round().abs().tolist()
        [1.0, 0.0, 0.0]
    """
    square = (axis_angle * axis_angle).sum(-1)
    small = square < _SMALL
    # The branch that is not taken must still have a finite gradient.
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(
        small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)),
        angle.sin() / angle)
    half = (angle / 2).sin() / angle
    versine = torch.where(
        small,
        .5 - square / 24 * (1 - square / 30 * (1 - square / 56)),
        2 * half * half)
    x, y, z = axis_angle.unbind(-1)
    cosine = 1 - versine * square
    rows = (cosine + versine * x * x, versine * x * y - sine * z,
            versine * x * z + sine * y, versine * x * y + sine * z,
            cosine + versine * y * y, versine * y * z - sine * x,
            versine * x * z - sine * y, versine * y * z + sine * x,
            cosine + versine * z * z)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def matrix_to_axis_angle(matrix: torch.Tensor) -> torch.Tensor:
    r"""Axis-angle vectors of rotation matrices.

    Goes through the quaternion, dividing by its largest component, so that
    it is accurate at all angles in $[0, \pi]$; gradients are finite at the
    identity. At exactly pi one of the two equal answers is returned.

    Args:
        matrix: (..., 3, 3) rotation matrices.

    Returns:
        (..., 3) axis times angle, radians, angle in [0, pi].

    Examples:
        >>> matrix_to_axis_angle(torch.eye(3)).tolist()
        [0.0, 0.0, 0.0]
    """
    m = matrix.flatten(-2).unbind(-1)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m
    squares = torch.stack((1 + m00 + m11 + m22, 1 + m00 - m11 - m22,
                           1 - m00 + m11 - m22, 1 - m00 - m11 + m22), -1)
    # Row i holds 4 q_i (w, x, y, z); the best row is that of the largest q_i.
    wx, wy, wz = m21 - m12, m02 - m20, m10 - m01
    xy, xz, yz = m01 + m10, m02 + m20, m12 + m21
    w2, x2, y2, z2 = squares.unbind(-1)
    table = torch.stack((w2, wx, wy, wz, wx, x2, xy, xz, wy, xy, y2, yz, wz,
                         xz, yz, z2), -1).unflatten(-1, (4, 4))
    best = squares.argmax(-1, keepdim=True)
    row = table.gather(
        -2, best[..., None].expand(*best.shape, 4)).squeeze(-2)
    # The largest square is at least 1; the bound protects the others.
    quaternion = row / (2 * squares.gather(-1, best).clamp(min=.5).sqrt())
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    square = (axis * axis).sum(-1, keepdim=True)
    small = square < _SMALL
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    # atan(t)/t of t = sine/w, as a series where the angle is small.
    t2 = square / torch.where(small, w * w, torch.ones_like(w))
    series = 1 - t2 * (1 / 3 - t2 * (1 / 5 - t2 * (1 / 7 - t2 / 9)))
    factor = torch.where(
        small, 2 * series / torch.where(small, w, torch.ones_like(w)),
        2 * torch.atan2(sine, w) / sine)
    return factor * axis


def rotation_yaw(matrix: torch.Tensor) -> torch.Tensor:
    r"""Angle about the y axis of rotation matrices.

    It is the middle angle of $R = R_z R_y R_x$,
    $\operatorname{atan2}(-R_{20}, \sqrt{R_{00}^2 + R_{10}^2})$; positive when
    a head that looks along +z turns to its left (+x).

    Args:
        matrix: (..., 3, 3) rotation matrices.

    Returns:
        (...) radians in [-pi/2, pi/2].
    """
    square = matrix[..., 0, 0]**2 + matrix[..., 1, 0]**2
    tiny = torch.finfo(matrix.dtype).tiny
    return torch.atan2(-matrix[..., 2, 0], square.clamp(min=tiny).sqrt())


def euler_to_axis_angle(angles: np.ndarray) -> np.ndarray:
    r"""Axis-angle of yaw about y, then pitch about x, then roll about z.

    The rotation matrix is $R_y(yaw)\, R_x(pitch)\, R_z(roll)$.

    Args:
        angles: (n, 3) yaw, pitch, roll in radians, rotation below 180
            degrees.

    Returns:
        (n, 3) axis-angle, radians.
    """
    half = np.asarray(angles, np.float64) / 2
    (cy, cx, cz), (sy, sx, sz) = np.cos(half).T, np.sin(half).T
    # Product of the unit quaternions q_y q_x q_z
    w = cy * cx * cz + sy * sx * sz
    xyz = np.stack([cy * sx * cz + sy * cx * sz, sy * cx * cz - cy * sx * sz,
                    cy * cx * sz - sy * sx * cz], -1)
    length = np.linalg.norm(xyz, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, w[:, None])
    factor = np.where(length > 1e-9, angle / np.maximum(length, 1e-12), 2.)
    return xyz * factor
