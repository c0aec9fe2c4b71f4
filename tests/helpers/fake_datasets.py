# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tiny data sets in the layouts of the published ones, for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (90, 120)


def clip_pipeline(*steps: dict, strict: bool = False, **crop: Any
                  ) -> list[dict]:
    """A pipeline of a clip data set.

    Args:
        *steps: Transforms between crop and packing.
        strict: For tests: see ``LoadFaceClip``.
        **crop: Arguments of ``CropFaceClip``.

    Returns:
        Configs of transforms.
    """
    return [dict(type='LoadFaceClip', strict=strict),
            dict(type='CropFaceClip', **crop), *steps,
            dict(type='PackFaceClip')]


def face_points(center: Sequence[float] = (60., 45.), radius: float = 20.
                ) -> np.ndarray:
    """68 points with a face's layout, good enough for boxes and hulls.

    Args:
        center: x, y of the middle in pixels.
        radius: Half the width in pixels.

    Returns:
        (68, 2) float32.
    """
    angle = np.pi * np.arange(17) / 16
    jaw = np.stack([-np.cos(angle), .1 + np.sin(angle)], 1)
    brows = np.stack([np.linspace(-.8, .8, 10), np.full(10, -.3)], 1)
    inner = np.random.default_rng(0).uniform(-.25, .5, (41, 2))
    points = np.concatenate([jaw, brows, inner])
    return (points * radius + center).astype(np.float32)


def write_face(image: Path, landmarks: Path | None = None,
               mask: Path | None = None, value: int = 100,
               size: tuple[int, int] = SIZE,
               center: Sequence[float] = (60., 45.)) -> None:
    """Write one frame: a plain grey image, landmarks and a box as mask.

    Args:
        image: File of the image.
        landmarks: ``.npy`` file.
        mask: ``.png`` (0/255) or ``.npy`` (0/1) file.
        value: Grey level.
        size: Height and width.
        center: x, y of the face.
    """
    for path in (image, landmarks, mask):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image), np.full((*size, 3), value, np.uint8))
    points = face_points(center)
    if landmarks is not None:
        np.save(landmarks, points)
    if mask is not None:
        left, top = np.floor(points.min(0)).astype(int)
        right, bottom = np.ceil(points.max(0)).astype(int)
        skin = np.zeros(size, np.uint8)
        skin[top:bottom + 1, left:right + 1] = 1
        if mask.suffix == '.npy':
            np.save(mask, skin.astype(np.float32))
        else:
            cv2.imwrite(str(mask), 255 * skin)


def write_clip(folder: Path, num_frames: int, masks: bool = True,
               start: int = 1) -> Path:
    """A clip as ``mmtvface prepare`` writes it.

    Frame number i has the grey level ``5 * i`` and the face at x = 50 + i.

    Args:
        folder: Folder of the clip.
        num_frames: Number of frames.
        masks: Also write masks.
        start: Number of the first frame.

    Returns:
        The folder.
    """
    for index in range(start, start + num_frames):
        name = f'{index:06d}'
        write_face(folder / f'jpg/{name}.jpg',
                   folder / f'kpt/{name}_kpt2d.npy',
                   folder / f'seg/masks/{name}.png' if masks else None,
                   5 * index, center=(50. + index, 45.))
    np.save(folder / 'serial.npy', np.array(
        [f'{index:06d}.jpg' for index in range(start, start + num_frames)]))
    (folder / 'meta.json').write_text(json.dumps({'fps': 25.}))
    return folder


def write_clip_set(root: Path, clips: dict[str, list[tuple[str, str, int]]]
                   ) -> Path:
    """A set with a manifest.

    Args:
        root: Its folder.
        clips: For each split (id, identity, number of frames).

    Returns:
        The folder.
    """
    entries = []
    for split, members in clips.items():
        (root / split).mkdir(parents=True, exist_ok=True)
        for name, identity, frames in members:
            write_clip(root / split / name, frames)
            entries.append(dict(
                id=name, split=split, path=f'{split}/{name}',
                identity=identity, video='video.mp4', track=0,
                num_frames=frames, fps=25., first_frame=0, quality={}))
    (root / 'manifest.json').write_text(json.dumps(dict(
        format='mmtvface-clips', version=1, settings={}, clips=entries,
        videos=[])))
    return root


def write_images(folder: Path, names: Sequence[str], masks: bool = False,
                 values: Sequence[int] | None = None) -> None:
    """Images with landmarks, and masks, beside them.

    Args:
        folder: Their folder.
        names: Names without suffix.
        masks: Also write masks.
        values: Grey levels; default 10, 20, ...
    """
    for index, name in enumerate(names):
        write_face(folder / f'{name}.jpg', folder / f'{name}.npy',
                   folder / f'{name}_mask.png' if masks else None,
                   values[index] if values else 10 * (index + 1))


def write_vggface2(root: Path, masks: bool = True) -> Path:
    """Two people of VGGFace2 with 5 and 2 images, and a list.

    ``train_list.npy`` has two rows of 3 names of the first person and one of
    the second, whose third name is missing on the disk.

    Args:
        root: Folder of the set.
        masks: Also write masks.

    Returns:
        The folder.
    """
    first = [f'{index:04d}_01' for index in range(1, 6)]
    write_images(root / 'train/n000002', first, masks)
    write_images(root / 'train/n000010', ['0001_01', '0002_02'], masks,
                 [110, 120])
    np.save(root / 'train_list.npy', np.array(
        [[f'n000002/{first[i]}' for i in row]
         for row in ((0, 1, 2), (2, 3, 4))]
        + [['n000010/0001_01', 'n000010/0002_02', 'n000010/0009_01']]))
    return root


def write_bupt(root: Path) -> Path:
    """Four people of BUPT-Balancedface with 3 images, and two lists.

    Args:
        root: Folder of the set.

    Returns:
        The folder.
    """
    for index, (race, person) in enumerate((
            ('African', 'm.0abc1d'), ('African', 'm.0zz'),
            ('Asian', 'm.01x_y'), ('Indian', 'm.0k'))):
        names = [f'{number:06d}_{index}' for number in range(3)]
        write_images(root / 'race_per_7000' / race / person, names)
        np.save(root / f'{race}_list.npy',
                np.array([[f'{race}/{person}/{name}' for name in names]]))
    return root


def write_voxceleb2(root: Path) -> Path:
    """Frames of four utterances of two people of VoxCeleb2.

    ``id00012/21Uxsk56VDQ/00001`` has the frames 1 to 7 without the fourth,
    the others have 3 frames each.

    Args:
        root: Folder of the people.

    Returns:
        The folder.
    """
    for folder, numbers in (
            ('id00012/21Uxsk56VDQ/00001', (1, 2, 3, 5, 6, 7)),
            ('id00012/21Uxsk56VDQ/00002', (1, 2, 3)),
            ('id00012/7fQRrbLo2Z4/00003', (1, 2, 3)),
            ('id00061/cAT9aR8oFx0/00141', (1, 2, 3))):
        for number in numbers:
            name = root / folder / f'{number:04d}'
            write_face(name.with_suffix('.jpg'),
                       name.with_name(name.name + '_kpt2d.npy'),
                       name.with_name(name.name + '_mask.png'), 5 * number)
    return root
