# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Identity components: how heads differ from each other.

Displacements are a Gaussian process over the surface (as in Gaussian process
morphable models, Luethi et al., PAMI 2018): smooth fields of several length
scales, mostly symmetric, and named anatomical modes (width of the face, length
of the nose, ...). Their strength over the head follows the measured standard
deviations of the landmarks; principal components of this process with the
measured spectrum are the identity components.
"""

import numpy as np
from scipy.interpolate import RBFInterpolator

from . import anatomy, eye, mouth
from .mean_mesh import MeanMesh
from .patches import smoothstep

NUM_COMPONENTS = 300

#: Length scale (mm), number of nodes, share of the variance.
_SCALES = ((95., 10, .30), (50., 34, .22), (27., 78, .07))
_ASYMMETRIC = (45., 26, .012)
_MODES_SHARE = .55

#: Standard deviation (mm) where there are no landmarks.
_FAR_SPREAD = (
    ((0, 112, -85), 9.), ((0, 20, -179), 9.5), ((79, 30, -85), 6.5),
    ((-79, 30, -85), 6.5), ((0, -40, -161), 9.), ((0, 65, 3), 6.),
    ((88, -20, -90), 7.), ((-88, -20, -90), 7.), ((0, -165, -35), 11.),
    ((0, -165, -150), 12.), ((60, -165, -90), 11.), ((-60, -165, -90), 11.),
    ((0, 45, 11), 4.5), ((45, 55, -5), 5.), ((-45, 55, -5), 5.),
    ((45, -35, 2), 4.2), ((-45, -35, 2), 4.2))


def component_rms() -> np.ndarray:
    """(300,) RMS displacement in mm of each component at one sigma."""
    start = len(anatomy.IDENTITY_RMS)
    places = [start, *(p for p, _ in anatomy.IDENTITY_RMS_TAIL), 300]
    values = [.40, *(v for _, v in anatomy.IDENTITY_RMS_TAIL), .012]
    tail = np.exp(np.interp(np.arange(start + 1, 301), places,
                            np.log(values)))
    head = np.sort(anatomy.IDENTITY_RMS)[::-1]
    return np.concatenate([head, tail])


def spread_nodes(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` points far from each other (farthest first)."""
    chosen = [int(np.argmax(points[:, 2]))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    for _ in range(count - 1):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(
            distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


def bump(points: np.ndarray, center: tuple[float, float, float],
         size: float) -> np.ndarray:
    """Gaussian bell (N,) around a point and around its mirror image."""
    total = np.zeros(len(points))
    for sign in ((1, -1) if center[0] else (1, )):
        offset = points - np.array(center) * [sign, 1, 1]
        total += np.exp(-.5 * np.sum(offset**2, axis=1) / size**2)
    return total


def _named_modes(points: np.ndarray) -> list[np.ndarray]:
    """Anatomical modes (V, 3), each about 1 mm where it acts."""
    x, y, z = points.T
    zero = np.zeros_like(x)
    face = smoothstep(z, -90, -20)
    below = smoothstep(y, 5, -100)
    skull = smoothstep(y, 10, 90)
    side = np.sign(x) * smoothstep(np.abs(x), 0, 30)

    def field(dx=zero, dy=zero, dz=zero):
        return np.stack([dx, dy, dz], -1)

    chin = bump(points, (0, -100, 12), 26)
    nose = bump(points, (0, -30, 36), 15)
    jaw = bump(points, (58, -72, -35), 30)
    lips = bump(points, (0, -67, 22), 14)
    brow = bump(points, (25, 24, 10), 17)
    cheek = bump(points, (50, -26, 0), 20)
    return [
        field(x / 75, y / 75, z / 75) * 3.2,  # size
        field(dx=x / 75) * 2.6,  # width
        field(dy=y / 90) * 2.0,  # length
        field(dz=z / 90) * 1.6,
        field(dx=x / 70 * below) * 1.5,  # heavy or narrow jaw
        field(dy=-below * face) * 1.9,  # length of the lower face
        field(dz=below * face) * 2.2,  # profile
        field(dx=side * jaw, dy=-.5 * jaw) * 1.2,
        field(dy=-chin, dz=.6 * chin) * 1.2,
        field(dz=chin) * 1.4,
        field(dz=nose) * 1.8, field(dy=-nose, dz=.2 * nose) * 1.3,
        field(dx=side * bump(points, (13, -40, 20), 10)) * 1.1,
        field(dz=bump(points, (0, -8, 24), 13)) * 1.1,  # bridge
        field(dx=x / 25 * lips) * .8, field(dy=(y + 67) / 9 * lips) * .8,
        field(dz=lips) * 1.,
        field(dz=brow) * 1., field(dy=brow) * .9,
        field(dz=bump(points, (0, 50, 8), 30)) * 1.1,  # forehead
        field(dx=side * cheek, dz=.6 * cheek) * 1.1,
        field(dz=bump(points, (34, -46, 6), 16)) * 1.2,  # full cheeks
        field(dx=side * bump(points, (32, 3, 0), 26)) * .8,  # eye distance
        field(dy=skull * (y - 10) / 90) * 2.2,  # height of the skull
        field(dz=np.minimum(z + 90, 0) / 80) * 2.2,
        field(dx=side * bump(points, (88, -20, -90), 18)) * 1.6,  # ears
        field(dy=bump(points, (88, 8, -90), 18)) * 1.2,
    ]


def _smooth_fields(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(V, 3, K) samples of the process at its nodes, unit spread."""
    columns = []
    left = np.flatnonzero(points[:, 0] >= 0)
    for scales, sign in ((_SCALES, 1.), ((_ASYMMETRIC, ), -1.)):
        for length, count, share in scales:
            nodes = left[spread_nodes(points[left], count)]
            square = np.sum(points**2, axis=1)
            distance = (square[:, None] + square[nodes] -
                        2 * points @ points[nodes].T)
            kernel = np.exp(-.5 * np.maximum(distance, 0) / length**2)
            gram = kernel[nodes]
            values, vectors = np.linalg.eigh(gram)
            # whitened, so that every direction of the nodes counts once
            keep = values > 1e-6 * values[-1]
            basis = kernel @ (vectors[:, keep] / np.sqrt(values[keep]))
            other = basis[mirror]
            for axis in range(3):
                flip = sign * (-1 if axis == 0 else 1)
                shape = (basis + flip * other) * np.sqrt(share / 2)
                block = np.zeros((len(points), 3, shape.shape[1]))
                block[:, axis] = shape
                columns.append(block)
    return np.concatenate(columns, axis=2)


def surface_spread(points: np.ndarray) -> np.ndarray:
    """Wanted standard deviation (V,) in mm of the displacement's length."""
    places = np.concatenate(
        [anatomy.LANDMARKS, [place for place, _ in _FAR_SPREAD]])
    values = np.concatenate([
        np.linalg.norm(anatomy.LANDMARK_SD, axis=1),
        [value for _, value in _FAR_SPREAD]])
    log_spread = RBFInterpolator(
        places, np.log(values), kernel='thin_plate_spline', smoothing=40.,
        degree=1)(points)
    return np.clip(np.exp(log_spread), 2.2, 12.)


def keep_eyelids_on_eyes(mesh: MeanMesh, fields: np.ndarray) -> np.ndarray:
    """Make eyeballs follow their sockets and eyelids stay on the eyeballs.

    Args:
        mesh: The mean head.
        fields: (V, 3, K) displacements.

    Returns:
        A changed copy: eyeballs move as a whole with their eyelids, and near
        them nothing moves towards or away from their centre.
    """
    fields = fields.copy()
    for eyelids, ball in zip(mesh.eyelids, mesh.eyeballs, strict=True):
        shift = fields[eyelids[eye.MARGIN]].mean(0)
        center = mesh.vertices[ball].mean(0)
        offset = mesh.vertices - center
        distance = np.linalg.norm(offset, axis=1)
        near = np.flatnonzero(distance < 30)
        unit = offset[near] / distance[near, None]
        relative = fields[near] - shift
        radial = np.einsum('vc,vck->vk', unit, relative)
        grip = smoothstep(distance[near], 24., 14.5)
        fields[near] -= (grip[:, None] * unit)[:, :, None] * radial[:, None]
        fields[ball] = shift
    return fields


def bind_inner_mouth(mesh: MeanMesh, fields: np.ndarray) -> np.ndarray:
    """Let the inside of the mouth follow the lips (a changed copy)."""
    fields = fields.copy()
    for grid in mesh.lips:
        middle = .5 * (fields[grid[mouth.CONTACT]] +
                       fields[grid[mouth.CONTACT, ::-1]])
        fields[grid[mouth.CONTACT]] = middle
        fields[grid[mouth.INSIDE:]] = middle
    fields[mesh.mouth_cap] = fields[mesh.lips[0][-1]].mean(0)
    fields[mesh.mouth_cap, 0] = 0
    return fields


def identity_components(mesh: MeanMesh) -> np.ndarray:
    """(V, 3, 300) orthogonal displacements in mm at one sigma."""
    points = mesh.vertices
    count = len(points)
    modes = np.stack(_named_modes(points), -1)
    smooth = _smooth_fields(points, mesh.mirror)
    modes *= np.sqrt(_MODES_SHARE)
    fields = np.concatenate([modes, 1.6 * smooth], axis=2)
    wanted = surface_spread(points)
    spectrum = component_rms()
    reached = None
    for _ in range(2):
        spread = np.sqrt(np.sum(fields**2, axis=(1, 2)))
        gain = wanted / np.maximum(spread, 1e-9) if reached is None else (
            wanted / reached)**.8
        fields = fields * gain[:, None, None]
        fields = bind_inner_mouth(mesh, keep_eyelids_on_eyes(mesh, fields))
        # equal input to the last bit gives equal components
        matrix = np.round(fields, 7).reshape(3 * count, -1)
        values, vectors = np.linalg.eigh(matrix.T @ matrix)
        order = np.argsort(values)[::-1][:NUM_COMPONENTS]
        components = matrix @ vectors[:, order]
        rms = np.sqrt(np.sum(components**2, axis=0) / count)
        components *= spectrum / rms
        reached = np.sqrt(np.sum(
            components.reshape(count, 3, -1)**2, axis=(1, 2)))
    # a fixed sign: the largest entry is positive
    largest = np.argmax(np.abs(components), axis=0)
    signs = np.sign(components[largest, np.arange(NUM_COMPONENTS)])
    return (components * signs).reshape(count, 3, NUM_COMPONENTS)
