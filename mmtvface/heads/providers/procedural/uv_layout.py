# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The UV map: skin unrolled around the face, eyes and mouth apart.

The skin is one island, unrolled from the chart and cut down the back of the
head, with the face stretched over the middle. The eyeballs lie in the upper
corners, the inside of the mouth in a lower corner.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from . import anatomy, mouth, surface
from .mean_mesh import MeanMesh

EYE_ISLAND_RADIUS = .062
_EYE_ISLAND = (.93, .93)
_MOUTH_ISLAND, _MOUTH_ISLAND_RADIUS = (.0553, .0547), .048
#: Exponent below 1 gives the iris more texels than the rear of the ball.
EYE_STRETCH = .55

_AZIMUTH = 1.4


class UVLayout(NamedTuple):
    """Texture coordinates: (Vt, 2) in [0, 1], v up, and (F, 3) indices."""

    coords: np.ndarray
    faces: np.ndarray


def chart_to_uv(chart: np.ndarray) -> np.ndarray:
    """UV map position (..., 2) of chart coordinates (..., 2)."""
    theta, arc = chart[..., 0], chart[..., 1]
    top = surface.DOME_HEIGHT + surface.CAPSULE_RADIUS * np.pi / 2
    v = PchipInterpolator(
        [surface.NECK_BOTTOM, -114., -20., 76., top],
        [.012, .195, .5, .80, .988])(arc)
    across = np.arctan(theta / _AZIMUTH) / np.arctan(np.pi / _AZIMUTH)
    elevation = np.clip((arc - surface.DOME_HEIGHT) / surface.CAPSULE_RADIUS,
                        0, np.pi / 2)
    width = np.cos(elevation)**.75
    low = np.clip((-114. - arc) / (-114. - surface.NECK_BOTTOM), 0, 1)
    width = width * (1 - .45 * low**1.5)
    return np.stack([.5 + .488 * across * width, v], -1)


def build_uv_map(mesh: MeanMesh) -> UVLayout:
    """Lay out the mean head."""
    coords = [chart_to_uv(np.nan_to_num(mesh.charts))]
    faces = mesh.faces.copy()
    half = len(faces) // 2
    total = len(mesh.vertices)

    # the seam: the right half needs its own copies
    copies = np.arange(total)
    copies[mesh.back_seam] = total + np.arange(len(mesh.back_seam))
    faces[half:] = copies[faces[half:]]
    other_side = mesh.charts[mesh.back_seam] * [-1, 1]
    coords.append(chart_to_uv(other_side))
    total += len(mesh.back_seam)

    total = _lay_out_mouth(mesh, coords, faces, total)
    for side, part in enumerate(mesh.eyeballs):
        total = _lay_out_eye(mesh, coords, faces, total, part, side)
    return UVLayout(np.round(np.concatenate(coords), 9), faces)


def _lay_out_mouth(mesh: MeanMesh, coords: list[np.ndarray],
                   faces: np.ndarray, total: int) -> int:
    """The inside of the mouth as a disc around the rear cap."""
    turn = np.linspace(0, np.pi, mouth.RING_SIZE)
    rings = mouth.NUM_RINGS - mouth.CONTACT
    # the teeth are near the lips: spread them, squeeze the throat
    radius = np.linspace(1, 0, rings + 1)[:-1]
    inner = np.zeros(len(mesh.vertices), dtype=bool)
    for grid in mesh.lips:
        inner[grid[mouth.CONTACT + 1:]] = True
    inner[mesh.mouth_cap] = True
    members = np.flatnonzero(inner[mesh.faces].any(1))
    contact_places = {}
    for sign, grid in zip((1, -1), mesh.lips, strict=True):
        disc = np.stack([sign * np.sin(turn), np.cos(turn)], -1)
        place = _MOUTH_ISLAND + _MOUTH_ISLAND_RADIUS * (
            radius[:, None, None] * disc)
        # inner vertices have no other use, so they keep their number
        coords[0][grid[mouth.CONTACT + 1:]] = place[1:]
        contact_places.update(
            zip(grid[mouth.CONTACT].tolist(), place[0], strict=True))
    coords[0][mesh.mouth_cap] = _MOUTH_ISLAND
    copies = np.arange(len(mesh.vertices) + len(mesh.back_seam))
    contact = np.array(list(contact_places))
    copies[contact] = total + np.arange(len(contact))
    faces[members] = copies[faces[members]]
    coords.append(np.array(list(contact_places.values())))
    return total + len(contact)


def _lay_out_eye(mesh: MeanMesh, coords: list[np.ndarray], faces: np.ndarray,
                 total: int, part: np.ndarray, side: int) -> int:
    """An eyeball as a disc around its front pole."""
    points = mesh.vertices[part]
    unit = points - anatomy.EYE_CENTER * [1 - 2 * side, 1, 1]
    polar = np.arctan2(np.hypot(unit[:, 0], unit[:, 1]), unit[:, 2])
    angle = np.arctan2(unit[:, 1], unit[:, 0])
    reach = (polar / np.pi)**EYE_STRETCH
    u = _EYE_ISLAND[0] if side == 0 else 1 - _EYE_ISLAND[0]
    island = np.array([u, _EYE_ISLAND[1]])
    disc = np.stack([np.cos(angle), np.sin(angle)], -1)
    coords[0][part] = island + EYE_ISLAND_RADIUS * reach[:, None] * disc
    # the rear pole is the whole outer circle: one copy for each triangle
    rear = part[-1]
    fan = np.flatnonzero((mesh.faces == rear).any(1))
    slot = np.argmax(mesh.faces[fan] == rear, axis=1)
    faces[fan, slot] = total + np.arange(len(fan))
    others = np.stack([mesh.faces[fan, (slot + 1) % 3],
                       mesh.faces[fan, (slot + 2) % 3]], 1)
    local = np.zeros(len(mesh.vertices), dtype=np.int64)
    local[part] = np.arange(len(part))
    middle = disc[local[others]].mean(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    coords.append(island + EYE_ISLAND_RADIUS * middle)
    return total + len(fan)

