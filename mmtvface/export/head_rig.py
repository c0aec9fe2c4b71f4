# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""FLAME as a rig that game engines know: morph targets and a skin.

FLAME adds three things to a template before it skins it: identity,
expression and pose correctives (Li et al., SIGGRAPH Asia 2017, section 3), and
its joints move with identity and expression. A rig has fixed joints and
morph targets with one weight each:

* the mean identity of the track is the rest pose, and its joints are the
  rest skeleton;
* expression components are targets, their codes the weights;
* what is left (pose correctives, and the identity of a frame that differs
  from the mean) is a linear function of few numbers per frame. Its principal
  components become further targets, as many as the tolerance asks for;
* a joint that has moved from J to J' turns points by R (x - J') + p, which
  is R (x - J) + (p + R (J - J')): the keyframes of its translation hold it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads.flame import CORRECTIVE_JOINTS, FLAME


class HeadRig(NamedTuple):
    """A track as a rig, float64, metres, model space.

    Attributes:
        vertices: (V, 3) neutral head.
        joints: (5, 3) of the neutral head.
        parents: 5, -1 for the root.
        skin_weights: (V, 5).
        expression: (E, V, 3) targets.
        correctives: (r, V, 3) targets.
        target_weights: (T, E + r).
        rotations: (T, 5, 3, 3), each in its parent's frame.
        translations: (T, 5, 3), of each joint in its parent's frame.
        error: Metres, the largest that the cut of the correctives makes.
    """

    vertices: np.ndarray
    joints: np.ndarray
    parents: tuple[int, ...]
    skin_weights: np.ndarray
    expression: np.ndarray
    correctives: np.ndarray
    target_weights: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    error: float


def low_rank(codes: np.ndarray, directions: np.ndarray, tolerance: float
             ) -> tuple[np.ndarray, np.ndarray, float]:
    """Fewest components that give ``codes @ directions``.

    The singular value decomposition is taken of a (T, K) matrix, through the
    Gram matrix of the directions, and never of the (T, 3 V) product.

    Args:
        codes: (T, K).
        directions: (K, V, 3).
        tolerance: Largest distance of a point of any row.

    Returns:
        (T, r) weights, at most 1 by their absolute value, (r, V, 3)
        directions, and the largest distance that is left.
    """
    flat = directions.reshape(len(directions), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    root = vectors * np.sqrt(values.clip(0))
    left, singular, _ = np.linalg.svd(codes @ root, full_matrices=False)
    kept = singular > 1e-12 * max(singular.max(initial=0), 1e-12)
    left = left[:, kept]
    basis = (left.T @ codes) @ flat

    def distance(rank: int) -> float:
        """Of the product and its first components, some frames at a time."""
        worst = 0.
        for start in range(0, len(codes), 64):
            rows = slice(start, start + 64)
            rest = codes[rows] @ flat - left[rows, :rank] @ basis[:rank]
            points = rest.reshape(-1, 3)
            worst = max(worst, float((points**2).sum(1).max(initial=0)))
        return worst**.5

    low, high = 0, left.shape[1]
    while low < high:
        middle = (low + high) // 2
        if distance(middle) <= tolerance:
            high = middle
        else:
            low = middle + 1
    # Weights of about one are what sliders and importers expect.
    unit = np.abs(left[:, :low]).max(0, initial=0)
    return (left[:, :low] / unit,
            (basis[:low] * unit[:, None]).reshape(low, *directions.shape[1:]),
            distance(low))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _vertices(planar: torch.Tensor) -> np.ndarray:
    """(..., 3 * V) all x, all y, all z, to (..., V, 3)."""
    return np.moveaxis(_array(planar.unflatten(-1, (3, -1))), -2, -1)


def keyframes(rotations: np.ndarray, joints: np.ndarray, rest: np.ndarray,
              parents: tuple[int, ...]) -> np.ndarray:
    """Translations that let a fixed skeleton do what a moving one does.

    Args:
        rotations: (T, J, 3, 3), each in its parent's frame.
        joints: (T, J, 3) positions before the rotations.
        rest: (J, 3) of the fixed skeleton.
        parents: J, parents before children, -1 for the root.

    Returns:
        (T, J, 3) of each joint in its parent's frame.
    """
    world = np.empty_like(rotations)
    moved = np.empty_like(joints)  # where the moving skeleton's joints go
    placed = np.empty_like(joints)  # where the fixed one's must go
    local = np.empty_like(joints)
    for joint, parent in enumerate(parents):
        if parent < 0:
            world[:, joint] = rotations[:, joint]
            moved[:, joint] = joints[:, joint]
        else:
            above = world[:, parent]
            world[:, joint] = above @ rotations[:, joint]
            moved[:, joint] = moved[:, parent] + _turn(
                above, joints[:, joint] - joints[:, parent])
        placed[:, joint] = moved[:, joint] + _turn(
            world[:, joint], rest[joint] - joints[:, joint])
        local[:, joint] = placed[:, joint] if parent < 0 else _turn(
            world[:, parent].swapaxes(1, 2),
            placed[:, joint] - placed[:, parent])
    return local


def _turn(rotation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(T, 3, 3) times (T, 3)."""
    return (rotation @ points[..., None])[..., 0]


def build_rig(flame: FLAME, codes: Mapping[str, np.ndarray],
              tolerance: float = 2e-5) -> HeadRig:
    """Turn a head model and the codes of a track into a rig.

    Args:
        flame: The head model.
        codes: ``shape`` (T, n), ``exp`` (T, m), ``pose`` (T, 6: global, jaw),
            and, if they are not zero, ``neck_pose`` (T, 3) and ``eye_pose``
            (T, 6).
        tolerance: Metres, how far the cut of the correctives may move a
            vertex.
    """
    shape, expression, pose = (
        np.asarray(codes[name], np.float64)
        for name in ('shape', 'exp', 'pose'))
    count = len(pose)
    full = np.concatenate([
        pose[:, :3], codes.get('neck_pose', np.zeros((count, 3))),
        pose[:, 3:], codes.get('eye_pose', np.zeros((count, 6)))], 1)
    rotations = axis_angle_to_matrix(
        torch.from_numpy(full.reshape(count, -1, 3))).numpy()
    directions = _vertices(flame.directions)
    identity, targets, corrective = np.split(
        directions, [flame.num_shape, flame.num_shape + flame.num_expression])
    mean = shape.mean(0)
    feature = (rotations[:, CORRECTIVE_JOINTS] - np.eye(3)).reshape(
        count, -1)
    if np.ptp(shape, axis=0).any():  # else it is all in the mean
        feature = np.concatenate([shape - mean, feature], 1)
        corrective = np.concatenate([identity, corrective])
    weights, correctives, error = low_rank(feature, corrective, tolerance)
    template = _array(flame.joint_template).reshape(-1, 3)
    moves = _array(flame.joint_shapes).reshape(
        flame.num_shape + flame.num_expression, -1, 3)
    joints = template + np.tensordot(
        np.concatenate([shape, expression], 1), moves, 1)
    rest = template + np.tensordot(mean, moves[:flame.num_shape], 1)
    return HeadRig(
        vertices=_vertices(flame.v_template) + np.tensordot(
            mean, identity, 1),
        joints=rest, parents=flame.parents,
        skin_weights=_array(flame.weights).T, expression=targets,
        correctives=correctives,
        target_weights=np.concatenate([expression, weights], 1),
        rotations=rotations,
        translations=keyframes(rotations, joints, rest, flame.parents),
        error=error)
