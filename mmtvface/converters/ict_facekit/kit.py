# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading a checkout of ICT-FaceKit Light."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtvface.io.mesh import ObjMesh, read_obj
from mmtvface.utils.assets import require_file

from .layout import (
    ICT_LIGHT,
    JAW_LEFT,
    JAW_OPEN,
    JAW_RIGHT,
    IctLayout,
    expression_order,
)

NEUTRAL = 'generic_neutral_mesh.obj'
KIT_REMEDY = (
    'Clone https://github.com/ICT-VGL/ICT-FaceKit (the Light model, MIT '
    'license) and give the path of the checkout or of its folder FaceXModel.')
#: Wraps a sequence, with a description, as rich's ``track`` does.
Track = Callable[[Sequence[str], str], Iterable[str]]


class IctKit(NamedTuple):
    """The meshes of a checkout, in the kit's unit and axes.

    Attributes:
        folder: Where they are.
        neutral: The neutral mesh, triangulated.
        identity: (K, N, 3) float64, offsets of the identity components.
        expressions: Name -> (N, 3) offsets, in the order of the components.
        license: The kit's license, None if the checkout lacks it.
    """

    folder: Path
    neutral: ObjMesh
    identity: np.ndarray
    expressions: dict[str, np.ndarray]
    license: str | None


def silent(items: Sequence[str], description: str) -> Iterable[str]:
    """A :data:`Track` that shows nothing."""
    del description
    return items


def find_model_folder(path: str | os.PathLike) -> Path:
    """Folder with the meshes: the given one or its FaceXModel.

    Raises:
        FileNotFoundError: If neither holds the neutral mesh.
    """
    path = Path(path).expanduser()
    for folder in (path, path / 'FaceXModel'):
        if (folder / NEUTRAL).is_file():
            return folder
    raise FileNotFoundError(
        f'ICT-FaceKit Light not found in {path}: there is no '
        f'{path / NEUTRAL} and no {path / "FaceXModel" / NEUTRAL}. '
        f'{KIT_REMEDY}')


def _refuse_pointer(path: Path) -> None:
    with open(path, 'rb') as file:
        if file.read(23) == b'version https://git-lfs':
            raise ValueError(f'{path} is a pointer of Git LFS, not a mesh. '
                             'Run "git lfs pull" in the checkout.')


def read_positions(path: Path, count: int) -> np.ndarray:
    """The vertices of an OBJ file, without its faces.

    Args:
        path: The file.
        count: How many there must be.

    Returns:
        (count, 3) float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there are more or fewer vertices or other than
            finite numbers; the message names the file.
    """
    path = require_file(path, 'Mesh of ICT-FaceKit', KIT_REMEDY)
    _refuse_pointer(path)
    rows = [line[2:] for line in path.read_bytes().split(b'\n')
            if line.startswith((b'v ', b'v\t'))]
    if len(rows) != count:
        raise ValueError(f'{path} has {len(rows)} vertices instead of '
                         f'{count}: it is damaged, or of another version '
                         f'than {NEUTRAL}. {KIT_REMEDY}')
    try:
        values = np.array(b' '.join(rows).split(), np.float64)
        positions = values.reshape(count, -1)[:, :3]
    except ValueError as error:
        raise ValueError(f'{path}: its "v" lines are damaged ({error}). '
                         f'{KIT_REMEDY}') from error
    if positions.shape[1] != 3 or not np.isfinite(positions).all():
        raise ValueError(f'{path}: its "v" lines must hold three finite '
                         f'numbers. {KIT_REMEDY}')
    return np.ascontiguousarray(positions)


def _read_neutral(path: Path, layout: IctLayout) -> ObjMesh:
    _refuse_pointer(path)
    mesh = read_obj(path)
    if len(mesh.vertices) != layout.num_vertices:
        raise ValueError(
            f'{path} has {len(mesh.vertices)} vertices, but ICT-FaceKit '
            f'Light has {layout.num_vertices}: it is another version of the '
            f'model, whose layout is not known. {KIT_REMEDY}')
    if mesh.uv_faces is None:
        raise ValueError(f'{path} has no UV coordinates on its faces. '
                         f'{KIT_REMEDY}')
    if not (np.isfinite(mesh.vertices).all()
            and np.isfinite(mesh.uv_coords).all()):
        raise ValueError(f'{path} holds NaN or infinity. {KIT_REMEDY}')
    _check_axes(path, mesh.vertices[list(layout.landmarks)], layout)
    return mesh


def _check_axes(path: Path, points: np.ndarray, layout: IctLayout) -> None:
    """Refuse other axes or units than those of the kit."""
    left, up, forward = (points[45] - points[36], points[27] - points[8],
                         points[30] - points[[0, 16]].mean(0))
    axes = [int(np.argmax(np.abs(v))) for v in (left, up, forward)]
    if axes != [0, 1, 2] or min(left[0], up[1], forward[2]) <= 0:
        raise ValueError(
            f'{path}: x must point to the person\'s left, y up and z '
            'forward, but from the right to the left eye it goes by '
            f'{np.round(left, 3).tolist()}, from chin to nasion by '
            f'{np.round(up, 3).tolist()}, from the ears to the nose by '
            f'{np.round(forward, 3).tolist()}. {KIT_REMEDY}')
    width = np.linalg.norm(left) * layout.metres
    if not .06 < width < .13:
        raise ValueError(
            f'{path}: the outer corners of the eyes are '
            f'{np.linalg.norm(left):.4g} units apart, which is '
            f'{1000 * width:.4g} mm; a head has about 90 mm. {KIT_REMEDY}')


def _license(folder: Path) -> str | None:
    for place in (folder, folder.parent):
        for name in ('LICENSE', 'LICENSE.txt', 'LICENSE.md'):
            if (place / name).is_file():
                return (place / name).read_text('utf-8', errors='replace')
    return None


def read_kit(path: str | os.PathLike,
             layout: IctLayout = ICT_LIGHT,
             track: Track = silent) -> IctKit:
    """Read the neutral mesh, all identities and all expressions.

    Every other OBJ file of the folder is an expression.

    Args:
        path: The checkout or its folder FaceXModel.
        layout: What its meshes are like.
        track: Shows the progress.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        ValueError: If a file is damaged or of another version.
    """
    folder = find_model_folder(path)
    identities = [f'identity{i:03d}' for i in range(layout.num_identity)]
    # Of a folder made by hand: "._x.obj" of macOS and the like.
    stems = {file.stem for file in folder.glob('*.obj')
             if not file.name.startswith('.')}
    expressions = expression_order(
        stem for stem in stems - {Path(NEUTRAL).stem}
        if not stem.startswith('identity'))
    needed = [*identities, JAW_OPEN, JAW_LEFT, JAW_RIGHT]
    if missing := [f'{stem}.obj' for stem in needed if stem not in stems]:
        more = f' and {len(missing) - 4} more' if len(missing) > 4 else ''
        raise FileNotFoundError(f'{folder} lacks {", ".join(missing[:4])}'
                                f'{more}. {KIT_REMEDY}')
    neutral = _read_neutral(folder / NEUTRAL, layout)
    shapes = {
        stem: read_positions(folder / f'{stem}.obj', layout.num_vertices) -
        neutral.vertices
        for stem in track([*identities, *expressions], 'Reading meshes')
    }
    return IctKit(folder, neutral,
                  np.stack([shapes[stem] for stem in identities]),
                  {stem: shapes[stem] for stem in expressions},
                  _license(folder))
