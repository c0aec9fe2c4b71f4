# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes over time as a few curves that can be read."""

from typing import NamedTuple

import numpy as np

from mmtvface.animation.tracks import CodeTrack

#: As many curves of a group as can be told apart by their colours.
MAX_CURVES = 8


class CurveGroup(NamedTuple):
    """Curves that share an axis.

    Attributes:
        name: Of the group.
        unit: Behind numbers, '' if they have none.
        labels: Of the k curves.
        values: (k, N), one column per frame with a face.
    """

    name: str
    unit: str
    labels: list[str]
    values: np.ndarray


def euler_angles(vectors: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of rotations, Rz(roll) Ry(yaw) Rx(pitch).

    The signs are those of :func:`mmtvface.geometry.head_pose.head_pose`.

    Args:
        vectors: (N, 3) axis-angle, radians.

    Returns:
        (3, N) degrees.
    """
    from scipy.spatial.transform import Rotation
    roll, yaw, pitch = Rotation.from_rotvec(vectors).as_euler(
        'ZYX', degrees=True).T
    return np.stack([yaw, pitch, roll])


def _most_moving(name: str, title: str, code: np.ndarray) -> CurveGroup:
    """The components of a (N, C) code that vary most, by their numbers."""
    order = np.argsort(-code.std(0), kind='stable')[:MAX_CURVES]
    order.sort()
    return CurveGroup(title, '', [f'{name} {i}' for i in order],
                      code[:, order].T)


def code_curves(codes: CodeTrack) -> list[CurveGroup]:
    """Curves of the frames with a face, head pose first.

    Rotations are shown in degrees, the camera of the crop as it is, the
    light as the mean of its colours in the first four bands, and of each
    other code the components that vary most.
    """
    known = {name: code[codes.valid].astype(np.float64)
             for name, code in codes.codes.items()}
    groups = [
        CurveGroup('head pose', '°', ['yaw', 'pitch', 'roll'],
                   euler_angles(known['pose'][:, :3])),
        CurveGroup('jaw', '°', ['sideways', 'open', 'roll'],
                   euler_angles(known['pose'][:, 3:6])),
        _most_moving('exp', 'expression', known['exp']),
        _most_moving('shape', 'identity', known['shape']),
        CurveGroup('camera', '', ['scale', 'x', 'y'], known['cam'].T)]
    for name, title in (('tex', 'albedo'), ('detail', 'detail')):
        if name in known:
            groups.append(_most_moving(name, title, known[name]))
    if 'light' in known:
        groups.append(CurveGroup(
            'light', '', [f'band {i}' for i in range(4)],
            known['light'].mean(2)[:, :4].T))
    return groups
