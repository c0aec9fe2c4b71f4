# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading and writing meshes.

OBJ is read and written here and not by a library: a head keeps its vertex
order, and UV coordinates have an indexing of their own (``f v/vt``). Mesh
libraries, trimesh included, split the vertices along the seams of the UV map,
after which neither landmark embeddings nor other frames of the same head fit,
and none writes a material with a normal map. Every other format goes through
trimesh.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtvface.utils.assets import require_file
from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.checks import check_shape
from mmtvface.utils.deps import require


class ObjMesh(NamedTuple):
    """A triangle mesh as an OBJ file holds it.

    Attributes:
        vertices: (V, 3) float64, in the file's order.
        faces: (F, 3) int64, vertex indices from 0.
        uv_coords: (Vt, 2) float64, v upwards, or None.
        uv_faces: (F, 3) int64, indices into ``uv_coords``, or None unless
            every corner has one.
        colors: (V, 3) float64 in [0, 1], RGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv_coords: np.ndarray | None = None
    uv_faces: np.ndarray | None = None
    colors: np.ndarray | None = None


def _corner(text: str, num_vertices: int, num_uv: int) -> tuple[int, int]:
    """Indices from 0 of ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``.

    A negative number counts back from the latest element. The UV index is
    -1 where there is none.
    """
    vertex, _, rest = text.partition('/')
    uv = rest.partition('/')[0]
    first, second = int(vertex), int(uv) if uv else 0
    return (first - 1 if first > 0 else num_vertices + first,
            second - 1 if second >= 0 else num_uv + second)


def read_obj(path: str | os.PathLike) -> ObjMesh:
    """Read an OBJ file without merging or reordering anything.

    Polygons become triangle fans; normals, groups and materials are skipped.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line cannot be understood or an index points
            beyond the vertices; the message names file and line.
    """
    path = require_file(path, 'Mesh', 'Check the path.')
    vertices: list[list[float]] = []
    uv_coords: list[list[float]] = []
    corners: list[tuple[int, int]] = []
    with open(path, encoding='utf-8', errors='replace') as file:
        for number, line in enumerate(file, 1):
            key, *values = line.partition('#')[0].split() or ('', )
            try:
                if key == 'v':
                    vertices.append([float(value) for value in values[:6]])
                elif key == 'vt':
                    uv_coords.append([float(value) for value in values[:2]])
                elif key == 'f':
                    fan = [_corner(value, len(vertices), len(uv_coords))
                           for value in values]
                    for i in range(1, len(fan) - 1):
                        corners += (fan[0], fan[i], fan[i + 1])
            except ValueError as error:
                raise ValueError(f'{path}, line {number}: {line.strip()!r} '
                                 f'is no valid OBJ line ({error}).') from error
    if not vertices or not corners:
        raise ValueError(f'{path} is no triangle mesh: {len(vertices)} '
                         f'vertices, {len(corners) // 3} faces.')
    try:
        values = np.array(vertices, np.float64)
        uv = np.array(uv_coords, np.float64).reshape(-1, 2)
    except ValueError as error:
        raise ValueError(f'{path}: its "v" or "vt" lines differ in length '
                         f'({error}).') from error
    if values.shape[1] < 3:
        raise ValueError(f'{path} is no triangle mesh: its "v" lines have '
                         f'{values.shape[1]} numbers instead of 3.')
    index = np.array(corners, np.int64).reshape(-1, 3, 2)
    faces, uv_faces = index[..., 0], index[..., 1]
    if faces.min() < 0 or faces.max() >= len(values):
        raise ValueError(
            f'{path}: its faces name the vertices {faces.min() + 1}..'
            f'{faces.max() + 1}, but there are {len(values)}.')
    if uv_faces.max() >= len(uv):
        raise ValueError(f'{path}: its faces name the UV coordinate '
                         f'{uv_faces.max() + 1}, but there are {len(uv)}.')
    has_uv = len(uv) > 0 and uv_faces.min() >= 0
    return ObjMesh(values[:, :3], faces, uv if has_uv else None,
                   uv_faces if has_uv else None,
                   values[:, 3:6] if values.shape[1] == 6 else None)


def _lines(pattern: str, array: np.ndarray) -> str:
    """One line per row; a single format call is faster than savetxt."""
    return (pattern * len(array)) % tuple(array.ravel().tolist())


def _write_image(path: Path, image: np.ndarray) -> str:
    """Write (H, W, 3) RGB, uint8 or float in [0, 1]; return the name."""
    import cv2
    pixels = image
    if image.dtype != np.uint8:
        pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), pixels[..., ::-1]):
            raise OSError(f'The image cannot be written to {path}.')
    return path.name


def _write_material(path: Path, texture: np.ndarray | None,
                    normal_map: np.ndarray | None) -> str:
    """Write PATH.mtl and its images; return the name of the .mtl file."""
    lines = ['newmtl head', 'Ka 1 1 1', 'Kd 1 1 1', 'Ks 0 0 0', 'illum 1']
    if texture is not None:
        name = _write_image(path.with_suffix('.png'), texture)
        lines.append(f'map_Kd {name}')
    if normal_map is not None:
        name = _write_image(
            path.with_name(f'{path.stem}_normals.png'), normal_map)
        # Blender takes a bump map for the normal map that it is; `norm` is
        # the physically based extension that other programs read.
        lines += [f'map_Bump -bm 1 {name}', f'norm {name}']
    material = path.with_suffix('.mtl')
    with atomic_path(material) as part:
        part.write_text('\n'.join([*lines, '']), encoding='utf-8')
    return material.name


def _corner_lines(faces: np.ndarray, uv_faces: np.ndarray | None,
                  with_normals: bool) -> str:
    """The "f" lines; normals are counted like the vertices."""
    columns, corner = [faces], '%d'
    if uv_faces is not None:
        columns.append(uv_faces)
        corner += '/%d'
    if with_normals:
        columns.append(faces)
        corner += '/%d' if uv_faces is not None else '//%d'
    return _lines(f'f {corner} {corner} {corner}\n',
                  np.stack(columns, -1) + 1)


def _check_mesh(path: Path, vertices: np.ndarray,
                faces: np.ndarray) -> None:
    """Raise where a mesh would be a file that nothing can read.

    Raises:
        ValueError: If a vertex is not finite or a face has none.
    """
    if not np.isfinite(vertices).all():
        raise ValueError(f'{path} is not written: some of its vertices are '
                         'not finite.')
    if len(faces) and not 0 <= np.min(faces) <= np.max(faces) < len(vertices):
        raise ValueError(
            f'{path} is not written: its faces name the vertices '
            f'{np.min(faces)} to {np.max(faces)}, but there are '
            f'{len(vertices)}.')


def write_obj(path: str | os.PathLike,
              vertices: np.ndarray,
              faces: np.ndarray,
              uv_coords: np.ndarray | None = None,
              uv_faces: np.ndarray | None = None,
              texture: np.ndarray | None = None,
              colors: np.ndarray | None = None,
              normals: np.ndarray | None = None,
              normal_map: np.ndarray | None = None) -> None:
    """Write an OBJ file; with images, a .mtl and .png files beside it.

    Vertices keep their order and are never split at UV seams. Missing
    folders are made. Every file appears only when it is complete, the OBJ
    last.

    Args:
        path: File to write, with the suffix ``.obj``. The texture becomes
            ``<stem>.png``, the normal map ``<stem>_normals.png``.
        vertices: (V, 3), written with 7 decimals (0.1 micrometres).
        faces: (F, 3) int, from 0.
        uv_coords: (Vt, 2) v upwards; needs ``uv_faces``.
        uv_faces: (F, 3) int, from 0.
        texture: (S, S, 3) RGB, uint8 or float in [0, 1], row 0 is v = 1;
            needs UV coordinates.
        colors: (V, 3) float in [0, 1], RGB per vertex.
        normals: (V, 3) unit normals; programs that read them need not
            compute their own.
        normal_map: Tangent-space normals as an image like the texture, see
            :mod:`mmtvface.visualization.normal_map`.

    Raises:
        ValueError: If shapes do not fit or an image has no UV coordinates.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != '.obj':
        raise ValueError(f"path must end in '.obj', but it is '{path}'.")
    check_shape('vertices', vertices, ('V', 3))
    check_shape('faces', faces, ('F', 3))
    _check_mesh(path, vertices, faces)
    if (uv_coords is None) != (uv_faces is None):
        raise ValueError('uv_coords and uv_faces must be given together.')
    for name, image in (('texture', texture), ('normal_map', normal_map)):
        if image is not None:
            if uv_coords is None:
                raise ValueError(f'A {name} needs uv_coords and uv_faces.')
            check_shape(name, image, ('H', 'W', 3))
    rows, pattern = vertices, 'v %.7f %.7f %.7f\n'
    if colors is not None:
        check_shape('colors', colors, (len(vertices), 3))
        rows = np.concatenate((vertices, colors), 1)
        pattern = 'v %.7f %.7f %.7f %.4f %.4f %.4f\n'
    parts = [_lines(pattern, rows)]
    if uv_coords is not None:
        check_shape('uv_coords', uv_coords, ('Vt', 2))
        check_shape('uv_faces', uv_faces, (len(faces), 3))
        parts.append(_lines('vt %.6f %.6f\n', uv_coords))
    if normals is not None:
        check_shape('normals', normals, (len(vertices), 3))
        parts.append(_lines('vn %.5f %.5f %.5f\n', normals))
    corners = _corner_lines(faces, uv_faces, normals is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    if texture is not None or normal_map is not None:
        name = _write_material(path, texture, normal_map)
        parts = [f'mtllib {name}\n', *parts, 'usemtl head\n']
    with atomic_path(path) as part:
        part.write_text(''.join([*parts, corners]), encoding='utf-8')


def write_ply(path: str | os.PathLike, vertices: np.ndarray,
              faces: np.ndarray, colors: np.ndarray | None = None) -> None:
    """Write a binary PLY file through trimesh.

    Args:
        path: File to write, with the suffix ``.ply``; missing folders are
            made.
        vertices: (V, 3), stored as float32.
        faces: (F, 3) int, from 0.
        colors: (V, 3) float in [0, 1], RGB per vertex.

    Raises:
        ImportError: If trimesh is not installed.
        ValueError: If shapes do not fit or the suffix is another one.
        OSError: If the file cannot be written.
    """
    trimesh = require('trimesh', 'write_ply', 'pip install trimesh')
    path = Path(path)
    if path.suffix.lower() != '.ply':
        raise ValueError(f"path must end in '.ply', but it is '{path}'.")
    check_shape('vertices', vertices, ('V', 3))
    check_shape('faces', faces, ('F', 3))
    if colors is not None:
        check_shape('colors', colors, (len(vertices), 3))
        colors = (np.clip(colors, 0, 1) * 255).round().astype(np.uint8)
    mesh = trimesh.Trimesh(vertices, faces, vertex_colors=colors,
                           process=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        mesh.export(part)


def read_mesh(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read vertices and faces of an OBJ, PLY, STL, OFF or glTF file.

    Args:
        path: The file; anything but OBJ is read by trimesh.

    Returns:
        (V, 3) float64 vertices and (F, 3) int64 faces; F is 0 for a point
        cloud.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If trimesh is needed and not installed.
        ValueError: If the file cannot be read.
    """
    path = require_file(path, 'Mesh', 'Check the path.')
    if path.suffix.lower() == '.obj':
        return read_obj(path)[:2]
    trimesh = require('trimesh', f'Reading {path.suffix} files',
                      'pip install trimesh')
    try:
        mesh = trimesh.load(path, process=False)
    # The readers of trimesh raise whatever the damage makes them raise.
    except Exception as error:
        raise ValueError(f'{path} cannot be read as a mesh: {error}.'
                         ) from error
    if hasattr(mesh, 'to_geometry'):
        mesh = mesh.to_geometry()
    faces = getattr(mesh, 'faces', np.zeros((0, 3)))
    return (np.asarray(mesh.vertices, np.float64),
            np.asarray(faces, np.int64))
