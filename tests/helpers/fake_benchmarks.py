# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tiny benchmarks in the layouts that the real ones are published in."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmtvface.io.mesh import write_obj

#: Places of the seven landmarks of NoW on a head of usual size, mm.
NOW_PLACES = np.array([[-45., 2, -6], [-18, 0, 0], [18, 0, 0], [45, 2, -6],
                       [0, -46, 25], [-25, -68, 10], [25, -68, 10]])


def face_points(center: Sequence[float], size: float) -> np.ndarray:
    """68 landmarks on two rings.

    Args:
        center: x, y.
        size: Width and height of their box.

    Returns:
        (68, 2) float64; the box is exactly centred.
    """
    angle = np.arange(68) * (np.pi / 32)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    ring[64:] *= .5
    return np.asarray(center) + size / 2 * ring


def write_image(path: Path, shape: tuple[int, int], seed: int = 0) -> None:
    """A noisy picture (H, W) as PNG or JPEG."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rng.integers(0, 256, (*shape, 3), np.uint8))


def fake_aflw2000(root: Path, yaws: Sequence[float] = (0., -45., 80.),
                  size: int = 120, first_pixel: float = 1.) -> Path:
    """Images and ``.mat`` files of AFLW2000-3D.

    Args:
        root: Folder, is made.
        yaws: Degrees, one image each: image00002, image00004, ...
        size: Side of the images in pixels.
        first_pixel: As the files count. The landmarks' box is 60 pixels wide
            around the index (55, 65).

    Returns:
        ``root``.
    """
    from scipy.io import savemat
    root.mkdir(parents=True, exist_ok=True)
    points = face_points((55, 65), 60) + first_pixel
    for number, yaw in enumerate(yaws):
        stem = f'image{2 * number + 2:05d}'
        write_image(root / f'{stem}.jpg', (size, size), number)
        pose = np.radians([10., yaw, -5.])
        savemat(root / f'{stem}.mat', dict(
            pt3d_68=np.vstack([points.T, np.zeros(68)]),
            pt2d=points[:21].T, roi=np.array([[25, 35, 85, 95]], np.int32),
            Pose_Para=np.r_[pose, 1., 2., 3., 5e-4][None],
            Shape_Para=np.zeros((199, 1))))
    return root


def fake_now(root: Path,
             images: Sequence[str] = (
                 'FaMoS_1/multiview_neutral/IMG_0039.jpg',
                 'FaMoS_1/selfie/IMG_0040.jpg',
                 'FaMoS_2/multiview_occlusions/IMG_0100.jpg'),
             split: str = 'validation', plain_boxes: bool = False) -> Path:
    """Images, boxes and list of the NoW benchmark.

    Args:
        root: Folder, is made.
        images: ``<subject>/<challenge>/<image>.jpg``.
        split: 'validation' or 'test'.
        plain_boxes: Boxes as four numbers instead of a pickled dict. Either
            way left 20, top 30, right 70, bottom 90.

    Returns:
        ``root``.
    """
    sides = dict(left=20, top=30, right=70, bottom=90)
    for number, name in enumerate(images):
        write_image(root / 'iphone_pictures' / name, (120, 100), number)
        box = (root / 'detected_face' / name).with_suffix('.npy')
        box.parent.mkdir(parents=True, exist_ok=True)
        content = np.array(list(sides.values()), np.float64) if plain_boxes \
            else np.array({side: np.int64(value)
                           for side, value in sides.items()})
        np.save(box, content, allow_pickle=True)
    (root / f'imagepaths{split}.txt').write_text('\n'.join(images) + '\n')
    return root


def write_picked_points(path: Path, points: np.ndarray) -> None:
    """Landmarks as MeshLab stores them (.pp)."""
    rows = [f' <point x="{x:.9g}" y="{y:.9g}" z="{z:.9g}" active="1" '
            f'name="{index}"/>' for index, (x, y, z) in enumerate(points)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join([
        '<!DOCTYPE PickedPoints>', '<PickedPoints>', ' <DocumentData>',
        '  <DateTime date="2018-08-29" time="12:00:00"/>',
        '  <User name="anonymous"/>',
        '  <DataFileName name="natural_head_rotation.000001.obj"/>',
        '  <templateName name=""/>', ' </DocumentData>', *rows,
        '</PickedPoints>', '']))


def fake_scan(root: Path, subject: str, vertices: np.ndarray,
              faces: np.ndarray, landmarks: np.ndarray) -> None:
    """A subject's scan and landmarks where NoW has them.

    Args:
        root: Of the benchmark: ``scans/`` and ``scans_lmks_onlypp/``.
        subject: Name.
        vertices: (P, 3) mm.
        faces: (F, 3).
        landmarks: (7, 3) mm.
    """
    name = 'natural_head_rotation.000001'
    write_obj(root / 'scans' / subject / f'{name}.obj', vertices, faces)
    write_picked_points(
        root / 'scans_lmks_onlypp' / subject / f'{name}_picked_points.pp',
        landmarks)


def bumpy_face(steps: int = 60, bumps: Sequence[float] = (30., 12., 4.)
               ) -> tuple[np.ndarray, np.ndarray]:
    """A smooth open surface like a face around ``NOW_PLACES``.

    Args:
        steps: Vertices along each side.
        bumps: Depth of the whole, height of the nose and of the waves, mm.

    Returns:
        Vertices (steps^2, 3) mm and faces.
    """
    line = np.linspace(-1, 1, steps)
    u, v = (axis.ravel() for axis in np.meshgrid(line, line))
    x, y = 130 * u, 130 * v - 25
    z = (-bumps[0] * 4 * (u**2 + .5 * v**2) + bumps[1] * np.exp(
        -((x / 16)**2 + ((y + 40) / 30)**2)) + bumps[2] * np.sin(4 * u) *
         np.cos(5 * v + 1))
    rows, columns = np.mgrid[:steps - 1, :steps - 1]
    corner = (rows * steps + columns).ravel()
    faces = np.concatenate([
        np.stack([corner, corner + 1, corner + steps], 1),
        np.stack([corner + 1, corner + steps + 1, corner + steps], 1)])
    return np.stack([x, y, z], 1), faces.astype(np.int64)
