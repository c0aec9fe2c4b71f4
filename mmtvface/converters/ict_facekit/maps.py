# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Masks and a texture in the UV map of a head of the kit.

The kit's Light model has no albedo. What is made here is the generated,
license-free albedo of the built-in head, brought over place by place.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from mmtvface.heads.head_topology import MAP_SIZE, HeadTopology
from mmtvface.heads.providers.procedural import anatomy, procedural_head
from mmtvface.heads.providers.procedural.embedding import closest_points
from mmtvface.heads.providers.procedural.regions import front_skin
from mmtvface.heads.providers.procedural.surface import point_to_chart
from mmtvface.heads.providers.procedural.uv_layout import UVLayout
from mmtvface.heads.providers.procedural.uv_raster import (
    TexelMap,
    rasterize_uv_map,
    sample,
)

from .anatomy_frame import Warp
from .eyes import Sphere
from .head_mesh import HeadMesh

_AT_ONCE = 8192
_NEIGHBORS = 10
#: Colours of what the built-in head lacks, RGB.
_COLORS = {
    'mouth_socket': (.35, .12, .11), 'gums': (.62, .28, .27),
    'teeth': (.82, .79, .72), 'eye_sockets': (.50, .27, .23)}


class AlbedoMaps(NamedTuple):
    """A linear albedo model, RGB in 0..1.

    Attributes:
        mean: (S, S, 3) float32.
        basis: (S, S, 3, K) float32; None if only the mean was wanted.
    """

    mean: np.ndarray
    basis: np.ndarray | None


def anatomy_positions(mesh: HeadMesh) -> np.ndarray:
    """(V, 3) where the vertices lie on the built-in mean head, mm."""
    vertices = 1000 * mesh.vertices
    return Warp(vertices[mesh.landmarks], anatomy.LANDMARKS)(vertices)


def face_masks(mesh: HeadMesh,
               uv_map: UVLayout) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the skin of the face, without and with the eyeballs.

    The kit's part ``face``, as far as it lies between hair line, ears and
    jaw: beyond, the published masks end as well, for hair and clothes hide
    the skin there.

    Returns:
        Two (256, 256) float64 in [0, 1], row 0 at v = 1.
    """
    texels = rasterize_uv_map(uv_map, MAP_SIZE)
    charts = point_to_chart(anatomy_positions(mesh))
    attributes = np.stack(
        [np.degrees(np.abs(charts[:, 0])), charts[:, 1]], -1)
    azimuth, arc = np.moveaxis(sample(texels, mesh.faces, attributes), -1, 0)

    def part(members: np.ndarray) -> np.ndarray:
        inside = members[mesh.faces].all(1)
        return inside[np.maximum(texels.face, 0)] & (texels.face >= 0)

    mask = front_skin(azimuth, arc) * part(mesh.parts['face'])
    eye = part(mesh.parts['left_eye'] | mesh.parts['right_eye'])
    return np.round(mask, 6), np.round(np.where(eye, 1., mask), 6)


def head_topology(mesh: HeadMesh, uv_map: UVLayout) -> HeadTopology:
    """UV map, masks and the zero displacement of a head."""
    mask, with_eyes = face_masks(mesh, uv_map)
    return HeadTopology(
        faces=mesh.faces, uv_coords=uv_map.coords, uv_faces=uv_map.faces,
        uv_face_mask=mask, uv_face_eye_mask=with_eyes,
        fixed_displacement=np.zeros((MAP_SIZE, MAP_SIZE)))


def _source_uv(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """UV (N, 2) of the built-in head at the places nearest to points."""
    head = procedural_head()
    vertices = 1000 * head.model.v_template
    found = np.empty((len(points), 2))
    for start in range(0, len(points), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        rows, barys = closest_points(points[part], vertices,
                                     head.model.faces[faces], _NEIGHBORS)
        corners = head.topology.uv_coords[
            head.topology.uv_faces[faces[rows]]]
        found[part] = np.einsum('nk,nkc->nc', barys, corners)
    return found


def _source_texels(mesh: HeadMesh, texels: TexelMap,
                   eyes: dict[str, Sphere]) -> np.ndarray:
    """(S, S, 2) row and column in the built-in albedo, -1 where none is."""
    head = procedural_head()
    size = len(texels.face)
    source = len(head.albedo.mean)
    places = sample(texels, mesh.faces, anatomy_positions(mesh))
    result = np.full((size, size, 2), -1)

    def fill(where: np.ndarray, points: np.ndarray,
             faces: np.ndarray) -> None:
        uv = _source_uv(points, np.flatnonzero(faces))
        spots = np.stack([1 - uv[:, 1], uv[:, 0]], -1) * source
        result[where] = np.clip(spots.astype(np.int64), 0, source - 1)

    regions = head.regions
    hidden = regions['eyeballs'] | regions['mouth_inside']
    corner = mesh.faces[np.maximum(texels.face, 0), 0]
    covered = texels.face >= 0
    skin = covered & mesh.skin[corner]
    fill(skin, places[skin], ~hidden[head.model.faces].any(1))
    metres = sample(texels, mesh.faces, mesh.vertices)
    for eye, sphere in eyes.items():
        ball = covered & mesh.parts[eye][corner]
        side = np.array([1 if eye == 'left_eye' else -1, 1, 1])
        points = (anatomy.EYE_CENTER * side + anatomy.EYE_RADIUS *
                  (metres[ball] - sphere.center) / sphere.radius)
        name = f'{eye}ball'
        fill(ball, points, regions[name][head.model.faces].all(1))
    return result


def transfer_albedo(mesh: HeadMesh, uv_map: UVLayout, eyes: dict[str, Sphere],
                    size: int = 512, with_basis: bool = True) -> AlbedoMaps:
    """Bring the generated albedo of the built-in head over.

    Args:
        mesh: The head.
        uv_map: Its UV coordinates.
        eyes: ``'left_eye'``/``'right_eye'`` -> the eyeball, metres.
        size: Side of the maps, texels.
        with_basis: Whether the components are wanted too.

    Returns:
        Maps, continued into the gaps between charts. Inside of the mouth
        the albedo is one colour for all codes.
    """
    head = procedural_head()
    texels = rasterize_uv_map(uv_map, size)
    source = _source_texels(mesh, texels, eyes)
    known = source[..., 0] >= 0
    row, column = np.moveaxis(np.where(known[..., None], source, 0), -1, 0)
    mean = head.albedo.mean[row, column] * known[..., None]
    corner = mesh.faces[np.maximum(texels.face, 0), 0]
    for name, color in _COLORS.items():
        if name in mesh.parts:
            mean[(texels.face >= 0) & mesh.parts[name][corner]] = color
    # gaps take what is nearest
    place = distance_transform_edt(texels.face < 0, return_distances=False,
                                   return_indices=True)
    mean = mean[tuple(place)].astype(np.float32)
    if not with_basis:
        return AlbedoMaps(mean, None)
    row, column, known = (array[tuple(place)]
                          for array in (row, column, known))
    # the pattern of nowhere is zero
    patterns = head.albedo.patterns[row, column] * known[..., None]
    basis = np.empty((size, size, 3, patterns.shape[-1]), np.float32)
    for channel in range(3):
        np.multiply(patterns, head.albedo.colors[:, channel],
                    out=basis[:, :, channel], casting='same_kind')
    return AlbedoMaps(mean, basis)
