# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A headless Blender that imports and plays a glTF file, for tests."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BLENDER = shutil.which('blender')
_SCRIPT = Path(__file__).with_name('blender_script.py')
_PATIENCE = 300  # seconds


@lru_cache
def why_no_blender() -> str:
    """Why Blender cannot be used; '' if it can."""
    if not BLENDER:
        return 'Blender is not installed'
    done = subprocess.run(
        [BLENDER, '-b', '--factory-startup', '--python-exit-code', '1',
         '--python-expr', 'import numpy, io_scene_gltf2'],
        capture_output=True, timeout=_PATIENCE)
    return ('Blender lacks its glTF importer, or NumPy (Debian: apt-get '
            'install python3-numpy)' if done.returncode else '')


class PlayedInBlender(NamedTuple):
    """A file as Blender shows it.

    Attributes:
        told: Names and sizes, see :func:`.blender_script.describe`.
        corners: (F, C, 3) positions of all corners of the faces at each
            frame, metres in the file's axes (+y up, +z out of the face).
        normals: (F, C, 3) of the same corners.
        rest_normals: (C, 3) of the rest mesh.
        uv: (C, 2), v upwards.
    """

    told: dict[str, Any]
    corners: np.ndarray
    normals: np.ndarray
    rest_normals: np.ndarray
    uv: np.ndarray


def from_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) of Blender (z up, faces look to -y) in the file's axes."""
    return points[..., [0, 2, 1]] * [1, 1, -1]


def play_in_blender(path: Path, fps: float, frames: Sequence[int],
                    folder: Path, widen: bool = True) -> PlayedInBlender:
    """Import a file and evaluate its head at frames.

    Args:
        path: ``.glb`` with one mesh.
        fps: Rate of the scene, set before the import.
        frames: Which.
        folder: For the files that Blender writes.
        widen: See :func:`.blender_script.widen_sliders`.

    Raises:
        RuntimeError: If Blender fails; with what it has said.
    """
    told, played = folder / 'blender.json', folder / 'blender.npz'
    done = subprocess.run(
        [BLENDER, '-b', '--factory-startup', '--python-exit-code', '1',
         '--python', str(_SCRIPT), '--', str(path), str(fps), str(told),
         str(played), str(int(widen)), *map(str, frames)],
        text=True, capture_output=True, timeout=_PATIENCE)
    if done.returncode or not told.is_file():
        raise RuntimeError(f'Blender: {done.stdout}\n{done.stderr}')
    with np.load(played, allow_pickle=False) as file:
        return PlayedInBlender(
            json.loads(told.read_text(encoding='utf-8')),
            *(from_blender(file[name]) for name in (
                'corners', 'normals', 'rest_normals')), file['uv'])
