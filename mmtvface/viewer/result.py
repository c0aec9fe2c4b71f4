# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a page shows of a result: heads, curves and pictures."""

import itertools
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mmtvface.animation.tracks import CodeTrack, read_codes
from mmtvface.export.writer import METRICS
from mmtvface.geometry.head_pose import euler_angles
from mmtvface.tracking.frame_source import FrameSource

#: As many curves of a group as can be told apart by their colours.
MAX_CURVES = 8
_QUALITY = 80
_REMEDY = ('Make it by mmtvface reconstruct INPUT --out {folder} --save codes '
         'glb.')


class ResultFolder(NamedTuple):
    """A reconstruction that can be shown.

    Attributes:
        path: The folder.
        codes: Of all frames and faces: a frame may have several rows.
        heads: Track id -> its ``.glb``, in the order of the ids.
    """

    path: Path
    codes: CodeTrack
    heads: dict[int, Path]


def read_result(folder: str | os.PathLike) -> ResultFolder:
    """Read the codes of a result and find the animated head of each face.

    Raises:
        FileNotFoundError: If the folder, its codes or a head are missing.
        ValueError: If a file is not what it should be.
    """
    folder = Path(folder).expanduser()
    remedy = _REMEDY.format(folder=folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Result not found: {folder} is no folder. '
                                + remedy)
    if not (folder / 'codes.npz').is_file():
        raise FileNotFoundError(f'{folder} has no codes.npz. {remedy}')
    codes = read_codes(folder / 'codes.npz', track='all')
    heads = {int(track): folder / 'glb' / f'track{track}.glb'
             for track in np.unique(codes.track_id[codes.valid])}
    for path in heads.values():
        _check_head(path, remedy)
    return ResultFolder(folder, codes, heads)


def _check_head(path: Path, remedy: str) -> None:
    """Check that a file is a whole binary glTF 2.0."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing. {remedy}')
    with path.open('rb') as file:
        header = file.read(12)
    if header != struct.pack('<4s2I', b'glTF', 2, path.stat().st_size):
        raise ValueError(f'{path} is no complete binary glTF file. {remedy}')


def source_of(folder: Path) -> Path:
    """The input that a result was made from, as ``metrics.json`` names it.

    Raises:
        FileNotFoundError: If it is not named or not there any more.
        ValueError: If ``metrics.json`` is damaged.
    """
    path = folder / METRICS
    try:
        source = (json.loads(path.read_text(encoding='utf-8'))['source']
                  if path.is_file() else None)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} does not name the input ({type(error).__name__}: '
            f'{error}). Give the input of the reconstruction by --input.'
        ) from error
    if not source or not Path(source).exists():
        raise FileNotFoundError(
            f'The input of {folder} is not there any more'
            + (f': {source}' if source else '') + '. Give it by --input; '
            'the overlay.mp4 of the result will do.')
    return Path(source)


class CurveGroup(NamedTuple):
    """Curves that share an axis.

    Attributes:
        name: Of the group.
        unit: Behind numbers, '' if they have none.
        labels: Of the k curves.
        values: (k, N), one column per frame with a face.
    """

    name: str
    unit: str
    labels: list[str]
    values: np.ndarray


def _angles(vectors: np.ndarray) -> np.ndarray:
    """(3, N) degrees of (N, 3) axis-angle, see :func:`euler_angles`."""
    from scipy.spatial.transform import Rotation
    return euler_angles(Rotation.from_rotvec(vectors).as_matrix()).T


def _most_moving(name: str, title: str, code: np.ndarray) -> CurveGroup:
    """The components of a (N, C) code that vary most, by their numbers."""
    order = np.argsort(-code.std(0), kind='stable')[:MAX_CURVES]
    order.sort()
    return CurveGroup(title, '', [f'{name} {i}' for i in order],
                      code[:, order].T)


def code_curves(codes: CodeTrack) -> list[CurveGroup]:
    """Curves of the frames with a face, head pose first.

    Rotations are shown in degrees, the camera of the crop as it is, the
    light as the mean of its colours in the first four bands, and of each
    other code the components that vary most.
    """
    known = {name: code[codes.valid].astype(np.float64)
             for name, code in codes.codes.items()}
    groups = [
        CurveGroup('head pose', '°', ['yaw', 'pitch', 'roll'],
                   _angles(known['pose'][:, :3])),
        CurveGroup('jaw', '°', ['sideways', 'open', 'roll'],
                   _angles(known['pose'][:, 3:6])),
        _most_moving('exp', 'expression', known['exp']),
        _most_moving('shape', 'identity', known['shape']),
        CurveGroup('camera', '', ['scale', 'x', 'y'], known['cam'].T)]
    for name, title in (('tex', 'albedo'), ('detail', 'detail')):
        if name in known:
            groups.append(_most_moving(name, title, known[name]))
    if 'light' in known:
        groups.append(CurveGroup(
            'light', '', [f'band {i}' for i in range(4)],
            known['light'].mean(2)[:, :4].T))
    return groups


def encode_jpeg(image: np.ndarray, height: int) -> bytes:
    """A picture as JPEG, made smaller if it is higher than ``height``.

    Args:
        image: (H, W, 3) uint8 RGB.
        height: Pixels.
    """
    rows, columns = image.shape[:2]
    if rows > height:
        image = cv2.resize(image, (max(1, round(columns * height / rows)),
                                   height), interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', image[..., ::-1],
                        [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def frame_pictures(source: FrameSource, num_frames: int, every: int,
                   height: int) -> Iterator[bytes | None]:
    """Every n-th of the first frames as JPEG, None where it is unreadable.

    Args:
        source: Where the frames are.
        num_frames: How many of them belong to the result.
        every: Frames from one picture to the next.
        height: Pixels, at most.

    Raises:
        ValueError: If the source ends before the result does.
    """
    count = 0
    for frame in itertools.islice(source, num_frames):
        count += 1
        if frame.index % every == 0:
            yield (None if frame.image is None
                   else encode_jpeg(frame.image, height))
    if count < num_frames:
        raise ValueError(
            f'{source.name} has {count} frames, but the result was made from '
            f'at least {num_frames}. Give its own input by --input.')
