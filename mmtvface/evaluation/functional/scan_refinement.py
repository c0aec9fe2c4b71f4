# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Fine alignment of a mesh to a scan: robust ICP with or without scale."""

from typing import NamedTuple

import numpy as np

from mmtvface.geometry.alignment import Similarity, apply_similarity

from .surface_distance import MeshSurface

_MAD_TO_SIGMA = 1.4826
# The bend of Huber's loss, in standard deviations: 95 % efficient.
_HUBER = 1.345


class Refinement(NamedTuple):
    """Result of :func:`refine_alignment`.

    Attributes:
        transform: Mesh -> scan.
        iterations: Steps taken.
        converged: Whether the last step was smaller than the tolerance.
    """

    transform: Similarity
    iterations: int
    converged: bool


def refine_alignment(surface: MeshSurface,
                     points: np.ndarray,
                     start: Similarity,
                     with_scale: bool = True,
                     trim: float = .05,
                     max_points: int = 20000,
                     max_iterations: int = 60,
                     tolerance: float = 1e-4) -> Refinement:
    """Move a mesh so that a scan's points lie on its surface.

    Iterated closest points with point-to-plane steps (Chen and Medioni,
    "Object modelling by registration of multiple range images", 1992): the
    distances d of the scan's points from the surface, in the unit of the
    scan, are minimised over rotation, shift and possibly scale of the mesh.
    Each step solves the linearised least squares with Huber's weights (the
    width is 1.345 standard deviations, from the median of d), and leaves out
    the farthest ``trim`` of the points. Of all steps the one with the least
    mean distance of the kept points is returned, so that the refinement is
    never worse than the start.

    Args:
        surface: The mesh, unmoved.
        points: (N, 3) points of the scan.
        start: Mesh -> scan, from landmarks.
        with_scale: False keeps the scale of ``start``.
        trim: Part of the points left out, 0 <= trim < 1.
        max_points: More points are thinned out evenly by their index.
        max_iterations: Limit of the steps.
        tolerance: Stop when a step moves the points by less than this part
            of their extent (root mean square).

    Raises:
        ValueError: If ``trim`` is out of range.
    """
    if not 0 <= trim < 1:
        raise ValueError(f'trim must lie in [0, 1), but it is {trim}.')
    if len(points) > max_points:
        chosen = np.linspace(0, len(points) - 1, max_points).round()
        points = points[chosen.astype(np.int64)]
    extent = np.sqrt(((points - points.mean(0))**2).sum(1).mean())
    normals = surface.face_normals()
    best, best_error = start, np.inf
    current, converged, steps = start, False, 0
    for steps in range(max_iterations + 1):
        back = (points - current.translation) @ current.rotation
        distance, face, foot = surface.closest(back / current.scale)
        distance = distance * float(current.scale)
        kept = distance <= np.quantile(distance, 1 - trim)
        error = distance[kept].mean()
        if error < best_error:
            best, best_error = current, error
        if steps == max_iterations or converged:
            break
        target = apply_similarity(foot[kept], current)
        update = _step(points[kept], target,
                       normals[face[kept]] @ current.rotation.T,
                       _huber_weights(distance[kept]), with_scale)
        moved = apply_similarity(target, update)
        step = np.sqrt(((moved - target)**2).sum(1).mean())
        converged = bool(step < tolerance * extent)
        current = _chain(update, current)
    return Refinement(best, steps, converged)


def _huber_weights(distance: np.ndarray) -> np.ndarray:
    """1 for small distances, falling like 1 / d beyond the bend."""
    bend = _HUBER * _MAD_TO_SIGMA * np.median(distance)
    return np.divide(bend, distance, out=np.ones_like(distance),
                     where=distance > bend)


def _step(points: np.ndarray, target: np.ndarray, normals: np.ndarray,
          weights: np.ndarray, with_scale: bool) -> Similarity:
    """Small similarity that takes ``target`` to the planes' points.

    Args:
        points: (N, 3) of the scan.
        target: (N, 3) their closest points on the moved mesh.
        normals: (N, 3) of the moved mesh there.
        weights: (N,).
        with_scale: Whether the scale may change.
    """
    center = target.mean(0)
    arm = target - center
    columns = [np.cross(arm, normals), normals]
    if with_scale:
        columns.append((arm * normals).sum(1, keepdims=True))
    jacobian = np.concatenate(columns, 1)
    # Angles, shifts and the scale are made alike in size; a direction that
    # the points leave free (a plane's own shifts) is then not moved at all.
    size = np.linalg.norm(jacobian, axis=0).clip(min=1e-300)
    root = np.sqrt(weights)[:, None]
    residual = ((points - target) * normals).sum(1)
    solution = np.linalg.lstsq(jacobian / size * root, residual * root[:, 0],
                               rcond=1e-7)[0] / size
    from scipy.spatial.transform import Rotation
    rotation = Rotation.from_rotvec(solution[:3]).as_matrix()
    scale = np.asarray(np.exp(solution[6]) if with_scale else 1.)
    return Similarity(scale, rotation,
                      center + solution[3:6] - scale * rotation @ center)


def _chain(after: Similarity, before: Similarity) -> Similarity:
    """The map ``x -> after(before(x))``."""
    return Similarity(
        after.scale * before.scale, after.rotation @ before.rotation,
        after.scale * after.rotation @ before.translation +
        after.translation)
