# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Joints and skinning weights of a head of the kit."""

import numpy as np

from mmtvface.heads.providers.procedural.patches import smoothstep
from mmtvface.heads.providers.procedural.rigging import (
    JAW,
    LEFT_EYE,
    NECK,
    RIGHT_EYE,
    ROOT,
    fit_average,
)

from .head_mesh import HeadMesh

#: Height from chin to the inner corners of the eyes of the average head.
_CHIN = .108
#: Heights of the average head, metres: of the joints, and between which the
#: neck turns from the trunk's to the head's.
_NECK_HEIGHT, _ROOT_HEIGHT = -.080, -.140
_TRUNK, _SKULL = -.168, -.098
#: Depth of the spine between throat (0) and nape (1), at these joints.
_NECK_DEPTH, _ROOT_DEPTH = .7, .5
#: Which vertices surround a joint: at most this far from it, metres; at
#: least so many.
_REACH, _JAW_REACH = .014, .026
_MEMBERS = 60

EYES = {'left_eye': LEFT_EYE, 'right_eye': RIGHT_EYE}


def head_size(mesh: HeadMesh) -> float:
    """Size of the head in average heads, by eyes and chin."""
    return float(-mesh.vertices[mesh.landmarks[8], 1] / _CHIN)


def _heights(mesh: HeadMesh) -> dict[str, float]:
    """Heights of the neck in metres, within what the mesh has of it."""
    size = head_size(mesh)
    lowest = mesh.vertices[mesh.skin, 1].min()
    neck = _NECK_HEIGHT * size
    skull = _SKULL * size
    return dict(neck=neck, skull=skull,
                root=min(max(_ROOT_HEIGHT * size, lowest + .01),
                         neck - .01),
                trunk=min(max(_TRUNK * size, lowest), skull - .02))


def _spine(mesh: HeadMesh, height: float, depth: float) -> np.ndarray:
    """(3,) the spine at a height, so deep between throat and nape."""
    x, y, z = mesh.vertices[mesh.skin].T
    size = head_size(mesh)
    near = np.abs(y - height) < .012 * size
    near &= np.abs(x) < .03 * size
    if near.sum() < 2 or np.ptp(z[near]) < .05 * size:
        # the slice is empty: take what lies next to it
        near = np.argsort(np.abs(y - height))[:_MEMBERS]
    front, back = z[near].max(), z[near].min()
    return np.array([0., height, front + depth * (back - front)])


def joint_regressor(mesh: HeadMesh, hinge: np.ndarray,
                    centers: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of weights that give the joints from the vertices.

    Each joint is the average of vertices around it, of the skin or the
    eyeball, with the smallest change of the weights that makes it exact.
    They sum to 1, so that the joints go with size and shape of the head.

    Args:
        mesh: The head.
        hinge: (3,) of the jaw.
        centers: ``'left_eye'``/``'right_eye'`` -> (3,).

    Returns:
        (5, V), mostly zero.
    """
    heights = _heights(mesh)
    vertices = mesh.vertices
    regressor = np.zeros((5, len(vertices)))
    x, y, z = vertices.T
    side = np.abs(x) > .6 * np.abs(vertices[mesh.landmarks[[0, 16]], 0]).min()
    rear = z < vertices[mesh.landmarks[[0, 16]], 2].mean()
    size = head_size(mesh)
    spots = {
        ROOT: (_spine(mesh, heights['root'], _ROOT_DEPTH), mesh.skin,
               np.abs(y - heights['root']), _REACH * size),
        NECK: (_spine(mesh, heights['neck'], _NECK_DEPTH), mesh.skin & rear,
               np.abs(y - heights['neck']), _REACH * size),
        JAW: (hinge, mesh.skin & side,
              np.hypot(y - hinge[1], z - hinge[2]), _JAW_REACH * size),
    }
    for joint, (target, allowed, distance, reach) in spots.items():
        members = np.flatnonzero(allowed & (distance < reach))
        if len(members) < _MEMBERS:
            members = _nearest(np.flatnonzero(allowed), distance)
        regressor[joint, members] = fit_average(vertices[members], target)
    for eye, joint in EYES.items():
        members = np.flatnonzero(mesh.parts[eye])
        regressor[joint, members] = fit_average(vertices[members],
                                                centers[eye])
    return regressor


def _nearest(candidates: np.ndarray, distance: np.ndarray) -> np.ndarray:
    order = np.argsort(distance[candidates], kind='stable')
    return candidates[order[:_MEMBERS]]


def skinning_weights(mesh: HeadMesh, jaw: np.ndarray) -> np.ndarray:
    """Weights of the five joints.

    Eyeballs follow their eye; what follows the jaw follows it wholly or
    shares with the head; below the head the neck shares with the trunk.

    Args:
        mesh: The head.
        jaw: (V,) weights of the jaw.

    Returns:
        (V, 5), rows sum to 1.
    """
    heights = _heights(mesh)
    head = smoothstep(mesh.vertices[:, 1], heights['trunk'],
                      heights['skull'])
    head = np.where(mesh.skin, np.maximum(head, jaw), 1.)
    weights = np.zeros((len(jaw), 5))
    weights[:, ROOT] = 1 - head
    weights[:, JAW] = jaw
    for eye, joint in EYES.items():
        weights[mesh.parts[eye]] = 0
        weights[mesh.parts[eye], joint] = 1
    weights = np.round(weights, 9)
    # the neck takes what is left, and what rounding leaves
    weights[:, NECK] += 1 - weights.sum(1)
    return np.clip(weights, 0, 1)
