# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Named parts of the head, as masks of vertices and of texels."""

import numpy as np

from . import eye, mouth
from .mean_mesh import MeanMesh
from .patches import smoothstep
from .uv_raster import TexelMap, sample

#: Hair line: azimuth in degrees, arc height in mm above which hair grows.
_HAIR_LINE = np.array([
    (0, 74), (14, 77), (28, 79), (40, 74), (50, 60), (60, 38), (68, 24),
    (76, 0), (82, -20), (87, -16), (91, 12), (104, 14), (114, -12),
    (124, -56), (140, -78), (160, -86), (180, -88)], dtype=np.float64)


def hair_height(charts: np.ndarray) -> np.ndarray:
    """Signed distance (...,) in mm above the hair line, along the arc."""
    line = np.interp(np.degrees(np.abs(charts[..., 0])), *_HAIR_LINE.T)
    return charts[..., 1] - line


def vertex_regions(mesh: MeanMesh) -> dict[str, np.ndarray]:
    """Masks (V,) of the parts of the head; parts may overlap."""
    count = len(mesh.vertices)
    x, y, z = mesh.vertices.T
    charts = np.nan_to_num(mesh.charts)
    azimuth = np.degrees(np.abs(charts[:, 0]))

    def mask(*groups):
        chosen = np.zeros(count, dtype=bool)
        for group in groups:
            chosen[group] = True
        return chosen

    eyeballs = mask(*mesh.eyeballs)
    mouth_inside = mask(*(g[mouth.INSIDE:] for g in mesh.lips),
                        mesh.mouth_cap)
    ears = mask(*mesh.ears)
    skin = ~eyeballs & ~mouth_inside
    jaw_edge = np.interp(azimuth, [0, 10, 30, 50, 62, 72, 85],
                         [-113, -110, -104, -92, -76, -50, -20])
    face = (skin & ~ears & (azimuth < 78) & (charts[:, 1] > jaw_edge) &
            (hair_height(charts) < 4))
    scalp = skin & ~ears & (hair_height(charts) > 0)
    return {
        'face': face,
        'scalp': scalp,
        'forehead': face & (y > 32),
        'eye_region': mask(*mesh.eyelids),
        'eyeballs': eyeballs,
        'left_eyeball': mask(mesh.eyeballs[0]),
        'right_eyeball': mask(mesh.eyeballs[1]),
        'nose': face & (np.abs(x) < 19) & (y < 6) & (y > -47) &
                (z > 11),
        'lips': mask(*(g[mouth.BORDER:mouth.CONTACT + 1]
                       for g in mesh.lips)),
        'mouth_inside': mouth_inside,
        'ears': ears,
        'neck': skin & ~face & ~scalp & ~ears & (y < -60),
        'boundary': skin & (y < -171),
    }


def front_skin(azimuth: np.ndarray, arc: np.ndarray) -> np.ndarray:
    """How much places belong to the face, between hair, ears and jaw.

    Args:
        azimuth: (...,) degrees from the nose, not negative.
        arc: (...,) mm, arc height in the chart of
            :func:`~mmtvface.heads.providers.procedural.surface.point_to_chart`.

    Returns:
        (...,) 0..1, with a soft border.
    """
    jaw_edge = np.interp(azimuth, [0, 10, 30, 50, 62, 72, 85],
                         [-112, -109, -103, -91, -75, -49, -20])
    return (smoothstep(azimuth, 78, 70) * smoothstep(arc - jaw_edge, -1, 5) *
            smoothstep(hair_height(np.stack([np.radians(azimuth), arc], -1)),
                       3, -5))


def face_masks(mesh: MeanMesh, texels: TexelMap) -> tuple[np.ndarray,
                                                          np.ndarray]:
    """Soft masks (S, S) of the face's skin, without and with the eyeballs."""
    attributes = np.zeros((len(mesh.vertices), 3))
    charts = np.nan_to_num(mesh.charts)
    azimuth = np.degrees(np.abs(charts[:, 0]))
    attributes[:, 0] = azimuth
    attributes[:, 1] = charts[:, 1]
    for part in mesh.eyeballs:
        attributes[part, 2] = 2
    for grid in mesh.lips:
        attributes[grid[mouth.INSIDE:], 2] = 1
    attributes[mesh.mouth_cap, 2] = 1
    for grid in mesh.ears:
        attributes[grid[1:], 2] = 1
    for grid in mesh.eyelids:
        attributes[grid[eye.MARGIN + 2:], 2] = .4
    azimuth, arc, part = np.moveaxis(
        sample(texels, mesh.faces, attributes), -1, 0)
    covered = texels.face >= 0
    mask = front_skin(azimuth, arc) * covered * (part < .5)
    with_eyes = np.where((part > 1.5) & covered, 1., mask)
    return np.round(mask, 6), np.round(with_eyes, 6)
