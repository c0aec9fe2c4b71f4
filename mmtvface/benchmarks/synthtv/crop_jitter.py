# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Turn, zoom and shift clips whose truth is known.

A weak-perspective camera sees a turned, zoomed and shifted picture when the
head is turned about the line of sight, and scale and shift are others: the
codes of the new picture follow exactly. Crops of real videos are less centred
and less steady than rendered ones, and people tilt their heads further.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
)
from mmtvface.heads import FLAME


@dataclass(frozen=True)
class CropJitter:
    """Ranges of what happens to the frame of a clip.

    Attributes:
        roll: Standard deviation of the turn, degrees, the same in all frames.
        zoom: Largest logarithm of the zoom.
        shift: Largest shift, relative to the side.
        shake: Standard deviation of a shift of its own in every frame, as
            detectors make, relative to the side.
    """

    roll: float = 12.
    zoom: float = .12
    shift: float = .06
    shake: float = .01

    def draw(self, rng: np.random.Generator, num_frames: int) -> np.ndarray:
        """Angle (radians), zoom and shift (NDC, x right, y down): (t, 4)."""
        angle = math.radians(self.roll) * rng.standard_normal()
        zoom = math.exp(self.zoom * rng.uniform(-1, 1))
        shift = 2 * self.shift * rng.uniform(-1, 1, 2)
        shake = 2 * self.shake * rng.standard_normal((num_frames, 2))
        return np.concatenate([
            np.full((num_frames, 1), angle), np.full((num_frames, 1), zoom),
            shift + shake], 1)


def turn_light(light: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Light that turns with what it shines on, about the line of sight.

    Args:
        light: (t, 9, 3) spherical harmonics, see
            :func:`mmtvface.geometry.lighting.sh_shading`.
        angle: (t,) radians, counter-clockwise as the camera sees it.

    Returns:
        (t, 9, 3): shading(turned normals, result) = shading(normals, light).
    """
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    cos2, sin2 = (2 * angle).cos()[:, None], (2 * angle).sin()[:, None]
    one, x, y, z, xy, xz, yz, square, zz = light.unbind(1)
    # The factor of x^2 - y^2 is half of that of xy.
    return torch.stack([
        one, cos * x - sin * y, sin * x + cos * y, z,
        cos2 * xy + sin2 * square, cos * xz - sin * yz, sin * xz + cos * yz,
        cos2 * square - sin2 * xy, zz], 1)


def crop_jitter_codes(flame: FLAME, codes: Mapping[str, torch.Tensor],
                  moves: torch.Tensor) -> dict[str, torch.Tensor]:
    """Codes of clips whose pictures were moved.

    The global rotation is about the root joint j of the person, so that a
    turn Q of the picture is Q R with the camera's shift Q (t + j) - j.

    Args:
        flame: The head model of the codes.
        codes: (t, C) each, light (t, 9, 3).
        moves: (t, 4) of :meth:`CropJitter.draw`.

    Returns:
        The same codes, of the moved pictures; arguments are unchanged.
    """
    angle, zoom, shift = moves[:, 0], moves[:, 1:2], moves[:, 2:]
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero,
                        zero + 1], 1).view(-1, 3, 3)
    betas = torch.cat([codes['shape'], codes['exp']], 1)
    root = (flame.joint_template[:3] + betas @ flame.joint_shapes[:, :3])
    root = root[:, :2].to(moves)
    rotation = turn @ axis_angle_to_matrix(codes['pose'][:, :3].to(moves))
    scale = zoom * codes['cam'][:, :1].to(moves)
    center = codes['cam'][:, 1:].to(moves) + root
    moved = (turn[:, :2, :2] @ center[..., None])[..., 0] - root
    up = shift * shift.new_tensor([1., -1.])
    changed = dict(
        codes,
        pose=torch.cat([matrix_to_axis_angle(rotation),
                        codes['pose'][:, 3:].to(moves)], 1),
        cam=torch.cat([scale, moved + up / scale], 1),
        light=turn_light(codes['light'].to(moves), angle))
    return {name: value.to(codes[name].dtype)
            for name, value in changed.items()}


def move_points(points: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Move (t, N, 2) NDC like the pictures."""
    cos, sin = np.cos(moves[:, 0]), np.sin(moves[:, 0])
    # counter-clockwise as seen, where y points down
    turn = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
    turned = np.einsum('tij,tnj->tni', turn, points)
    return moves[:, None, 1:2] * turned + moves[:, None, 2:]


def move_images(images: np.ndarray, moves: np.ndarray, border: int
                ) -> np.ndarray:
    """Turn, zoom and shift frames.

    Args:
        images: (t, S, S) or (t, S, S, 3) uint8.
        moves: (t, 4) of :meth:`CropJitter.draw`.
        border: OpenCV's way of filling what was not in the picture.

    Returns:
        The same shape and type.
    """
    size = images.shape[1]
    out = []
    for image, (angle, zoom, *shift) in zip(images, moves, strict=True):
        middle = (size - 1) / 2
        matrix = cv2.getRotationMatrix2D(
            (middle, middle), math.degrees(angle), zoom)
        matrix[:, 2] += np.asarray(shift) * size / 2
        out.append(cv2.warpAffine(image, matrix, (size, size),
                                  borderMode=border))
    return np.stack(out)
