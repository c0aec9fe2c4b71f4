# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of a reconstructed head against a scan, after the NoW benchmark.

Sanyal et al., "Learning to regress 3D face shape and expression from an image
without 3D supervision", CVPR 2019, section 5: the predicted neutral mesh is
aligned to the scan by seven landmarks, the alignment is refined on the
surface, and the distances of the scan's points from the mesh are reported. It
is written from the paper; numbers may differ from those of the
benchmark's own server by what the paper leaves open, all of which are
arguments here.
"""

from typing import NamedTuple

import numpy as np

from mmtvface.geometry.alignment import (
    Similarity,
    apply_similarity,
    procrustes,
)
from mmtvface.utils.checks import check_shape

from .scan_refinement import refine_alignment
from .surface_distance import MeshSurface, check_mesh

#: The landmarks of NoW among the 51 that are fixed on the surface (17 less
#: than their iBUG numbers), in the order of its files.
NOW_LANDMARKS = (19, 22, 25, 28, 16, 31, 37)
#: Their names, in this order; left and right are the person's.
NOW_LANDMARK_NAMES = (
    'outer corner of the right eye', 'inner corner of the right eye',
    'inner corner of the left eye', 'outer corner of the left eye',
    'base of the nose', 'right corner of the mouth',
    'left corner of the mouth')
_OUTER_RIGHT, _INNER_RIGHT, _INNER_LEFT, _OUTER_LEFT, _NOSE = range(5)
_MIN_POINTS = 50


class ScanError(NamedTuple):
    """Distances of one scan from one mesh.

    Attributes:
        distances: (N,) of the scan's points in the region, in its unit.
        region: (P,) bool, the points of the scan that are in the region.
        transform: Mesh -> scan.
        iterations: Steps of the refinement; 0 without it.
        converged: Whether the refinement came to rest.
    """

    distances: np.ndarray
    region: np.ndarray
    transform: Similarity
    iterations: int
    converged: bool


def check_now_landmarks(name: str, landmarks: np.ndarray) -> None:
    """Raise unless there are seven finite landmarks that span a plane.

    Raises:
        ValueError: Says what is expected and what is there.
    """
    if landmarks.shape != (len(NOW_LANDMARKS), 3):
        raise ValueError(
            f'{name} must be the {len(NOW_LANDMARKS)} landmarks of NoW, an '
            f'array (7, 3), but the shape is {landmarks.shape}. In order: '
            f'{", ".join(NOW_LANDMARK_NAMES)}.')
    if not np.isfinite(landmarks).all():
        raise ValueError(f'{name}: some landmarks are not finite.')
    spread = np.linalg.svd(landmarks - landmarks.mean(0), compute_uv=False)
    if spread[1] < 1e-3 * spread[0] or not spread[0] > 0:
        raise ValueError(f'{name}: the landmarks lie on one point or line.')


def evaluation_region(points: np.ndarray, landmarks: np.ndarray,
                      radius_factor: float = .7,
                      center_height: float = .3) -> np.ndarray:
    """Points of a scan that count: those in a sphere around the face.

    The centre lies ``center_height`` of the way from the base of the nose to
    its bridge (the middle of the inner corners of the eyes); the radius is
    ``radius_factor`` * (distance of the outer corners of the eyes + distance
    of the nose's base from its bridge).

    Args:
        points: (P, 3) of the scan.
        landmarks: (7, 3) of the scan.
        radius_factor: Larger takes in more of the forehead and the cheeks.
        center_height: 0 is the base of the nose, 1 its bridge.

    Returns:
        (P,) bool.
    """
    bridge = (landmarks[_INNER_RIGHT] + landmarks[_INNER_LEFT]) / 2
    nose = bridge - landmarks[_NOSE]
    eyes = landmarks[_OUTER_RIGHT] - landmarks[_OUTER_LEFT]
    radius = radius_factor * (np.linalg.norm(eyes) + np.linalg.norm(nose))
    center = landmarks[_NOSE] + center_height * nose
    return np.linalg.norm(points - center, axis=1) <= radius


def scan_error(vertices: np.ndarray,
               faces: np.ndarray,
               landmarks: np.ndarray,
               scan_points: np.ndarray,
               scan_landmarks: np.ndarray,
               with_scale: bool = True,
               refine: bool = True,
               region: np.ndarray | None = None,
               trim: float = .05,
               max_points: int = 20000) -> ScanError:
    """Align a mesh to a scan and measure scan-to-mesh distances.

    1. Least squares on the seven landmarks: rotation, shift and scale.
    2. The points of the scan in the evaluation region are fitted by
       :func:`~.scan_refinement.refine_alignment`.
    3. Their distances from the moved mesh, point to surface.

    Args:
        vertices: (V, 3) of the predicted neutral head, any unit if
            ``with_scale``, else the scan's.
        faces: (F, 3) int.
        landmarks: (7, 3) of the prediction, see ``NOW_LANDMARK_NAMES``.
        scan_points: (P, 3) vertices of the scan; those that are not finite
            do not count.
        scan_landmarks: (7, 3) of the scan.
        with_scale: NoW's alignment has a scale, since a single image does
            not tell the size; False measures the size too.
        refine: False stops after the landmarks.
        region: (P,) bool, replaces :func:`evaluation_region`.
        trim: Part of the points that the refinement (not the
            measurement) leaves out.
        max_points: Points that the refinement uses at most.

    Returns:
        Distances in the unit of the scan.

    Raises:
        ImportError: If libigl is not installed.
        ValueError: If an array is not what it should be, or next to no point
            of the scan is in the region.
    """
    check_mesh('the prediction', vertices, faces)
    check_now_landmarks('The landmarks of the prediction', landmarks)
    check_now_landmarks('The landmarks of the scan', scan_landmarks)
    check_shape('scan_points', scan_points, ('P', 3))
    landmarks, scan_landmarks, scan_points = (
        np.asarray(value, np.float64)
        for value in (landmarks, scan_landmarks, scan_points))
    if region is None:
        region = evaluation_region(scan_points, scan_landmarks)
    check_shape('region', region, (len(scan_points), ))
    region = region & np.isfinite(scan_points).all(1)
    points = scan_points[region]
    if len(points) < _MIN_POINTS:
        raise ValueError(
            f'Only {len(points)} of the {len(scan_points)} points of the '
            'scan lie in the evaluation region around its landmarks. Are '
            'both in the same unit and coordinates?')
    transform = procrustes(landmarks, scan_landmarks, with_scale=with_scale)
    surface = MeshSurface(vertices, faces)
    iterations, converged = 0, True
    if refine:
        transform, iterations, converged = refine_alignment(
            surface, points, transform, with_scale, trim, max_points)
    moved = MeshSurface(apply_similarity(surface.vertices, transform), faces)
    return ScanError(
        moved.closest(points)[0], region, transform, iterations, converged)
