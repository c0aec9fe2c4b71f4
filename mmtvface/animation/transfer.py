# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Expression of one face on another: on codes, without pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    euler_to_axis_angle,
    matrix_to_axis_angle,
)

#: Where the pose of the head comes from.
POSES = ('driver', 'source', 'fixed')
#: Codes that tell who somebody is and how they are seen.
IDENTITY = ('shape', 'tex', 'light', 'detail', 'cam')


def head_rotation(angles: Sequence[float] | np.ndarray) -> np.ndarray:
    """Axis-angle of turns of the head.

    Args:
        angles: (..., 3) yaw, pitch, roll in degrees; positive ones turn the
            face to its left, down, and towards its right shoulder.

    Returns:
        (..., 3) radians.
    """
    angles = np.radians(np.asarray(angles, np.float64))
    return euler_to_axis_angle(angles.reshape(-1, 3)).reshape(angles.shape)


def relative_jaw(jaw: np.ndarray, neutral: np.ndarray,
                 target: np.ndarray) -> np.ndarray:
    """Rotation of a jaw from its neutral pose, put onto another neutral one.

    R = R_jaw R_neutral^-1 R_target.

    Args:
        jaw: (T, 3) axis-angle, radians.
        neutral: (3,) of the same person.
        target: (3,) of the other one.

    Returns:
        (T, 3) axis-angle.
    """
    rotations = [axis_angle_to_matrix(torch.from_numpy(
        np.asarray(value, np.float64))) for value in (jaw, neutral, target)]
    result = matrix_to_axis_angle(
        rotations[0] @ rotations[1].mT @ rotations[2])
    return result.numpy().astype(jaw.dtype)


def neutral_expression(codes: Mapping[str, np.ndarray]
                       ) -> dict[str, np.ndarray]:
    """Expression that somebody has most of the time.

    Args:
        codes: ``exp`` (T, C) and ``pose`` (T, 6), rows of frames without a
            face NaN; T > 0.

    Returns:
        ``exp`` (C,) and ``pose`` (6,), medians over the frames.
    """
    return {name: np.nanmedian(codes[name], 0).astype(codes[name].dtype)
            for name in ('exp', 'pose')}


def transfer_codes(source: Mapping[str, np.ndarray],
                   driver: Mapping[str, np.ndarray],
                   pose: str = 'driver',
                   angles: Sequence[float] = (0., 0., 0.),
                   relative: bool = False,
                   neutral: Mapping[str, np.ndarray] | None = None
                   ) -> dict[str, np.ndarray]:
    """Put the expression of a driver onto the identity of a source.

    Shape, albedo, light, camera and *detail* code are the source's, in all
    frames the same; expression and jaw are the driver's. As the detail
    decoder is given the driver's expression and the source's detail code,
    the wrinkles are the source's and come and go with the driver's
    expression (DECA, Feng et al., SIGGRAPH 2021, section 4.2 and figure 6).

    Args:
        source: Name -> (C,), of one person, see
            :func:`mmtvface.animation.pick_identity`.
        driver: ``exp`` (T, C) and ``pose`` (T, 6); rows of frames without a
            face are NaN.
        pose: Where the head's rotation comes from: 'driver', 'source' or
            'fixed'.
        angles: Of the 'fixed' pose, see :func:`head_rotation`.
        relative: Add what the driver's expression differs from neutral to
            the source's own expression, instead of replacing it. That
            removes what the regressor sees as an expression but is the
            driver's face at rest.
        neutral: The driver's ``exp`` (C,) and ``pose`` (6,) at rest; default:
            its median over the frames.

    Returns:
        Name -> (T, C); NaN in all codes where the driver has no face.

    Raises:
        ValueError: If ``pose`` is unknown or sizes differ.
    """
    if pose not in POSES:
        raise ValueError(f"pose must be one of {POSES}, but it is '{pose}'.")
    for name in ('exp', 'pose'):
        if source[name].shape != driver[name].shape[1:]:
            raise ValueError(
                f"The code '{name}' of the source has "
                f'{source[name].shape[-1]} entries, but that of the driver '
                f'{driver[name].shape[-1]}: reconstruct both with the same '
                'model.')
    length = len(driver['exp'])
    present = np.isfinite(driver['exp']).all(1) & (
        np.isfinite(driver['pose']).all(1))
    codes = {name: np.repeat(source[name][None], length, 0)
             for name in IDENTITY if name in source}
    codes['exp'], codes['pose'] = driver['exp'].copy(), driver['pose'].copy()
    if relative:
        rest = neutral or neutral_expression(driver)
        codes['exp'] += source['exp'] - rest['exp']
        codes['pose'][:, 3:] = relative_jaw(
            driver['pose'][:, 3:], rest['pose'][3:], source['pose'][3:])
    if pose == 'source':
        codes['pose'][:, :3] = source['pose'][:3]
    elif pose == 'fixed':
        codes['pose'][:, :3] = head_rotation(angles)
    for code in codes.values():
        code[~present] = np.nan
    return codes
