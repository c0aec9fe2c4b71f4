# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Naive implementations that the benchmark compares with."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.rotation import axis_angle_to_matrix


def naive_flame(model: Any, shape: torch.Tensor, expression: torch.Tensor,
                pose: torch.Tensor) -> torch.Tensor:
    """Skinning as it is often written: broadcast sums and 4 x 4 matrices."""
    betas = torch.cat([shape, expression], 1)
    directions = model['shapedirs'][..., [*range(100), *range(300, 350)]]
    shaped = model['v_template'] + (
        betas[:, None, None] * directions).sum(-1)
    joints = torch.einsum('jv,bvk->bjk', model['J_regressor'], shaped)
    zero = torch.zeros_like(pose[:, :3])
    full = torch.cat([pose[:, :3], zero, pose[:, 3:], zero, zero], 1)
    rotations = axis_angle_to_matrix(full.view(-1, 5, 3))
    feature = (rotations[:, 1:] - torch.eye(3)).flatten(1)
    posed = shaped + (feature[:, None, None] * model['posedirs']).sum(-1)
    chain = []
    for joint, parent in enumerate(model['parents'].tolist()):
        local = torch.eye(4).repeat(len(pose), 1, 1)
        local[:, :3, :3] = rotations[:, joint]
        local[:, :3, 3] = joints[:, joint] - (
            joints[:, parent] if parent >= 0 else 0)
        chain.append(chain[parent] @ local if parent >= 0 else local)
    world = torch.stack(chain, 1)
    rest = F.pad(joints, (0, 1))[..., None]
    world = world - F.pad(world @ rest, (3, 0))
    maps = torch.einsum('vj,bjmn->bvmn', model['weights'], world)
    return (maps @ F.pad(posed, (0, 1), value=1.)[..., None])[..., :3, 0]


def naive_texture(mean: torch.Tensor, basis: torch.Tensor,
                  code: torch.Tensor) -> torch.Tensor:
    """All 512 x 512 texels by a (B, N, K) broadcast, then resized to 256."""
    flat = mean.flatten() + (basis.view(-1, 50) * code[:, None]).sum(-1)
    image = flat.view(-1, 512, 512, 3).permute(0, 3, 1, 2)
    return F.interpolate(image, size=256, mode='nearest')


def naive_rasterize(vertices: np.ndarray, faces: np.ndarray,
                    size: int) -> np.ndarray:
    """Face index by a Python loop over faces, NumPy over their boxes."""
    index = np.full((size, size), -1)
    depth = np.full((size, size), np.inf)
    centers = (2 * np.arange(size) + 1) / size - 1
    for face, (a, b, c) in enumerate(vertices[faces]):
        low = np.minimum(np.minimum(a, b), c)
        high = np.maximum(np.maximum(a, b), c)
        left, top = np.searchsorted(centers, low[:2], 'left')
        right, bottom = np.searchsorted(centers, high[:2], 'right')
        if left >= right or top >= bottom:
            continue
        x, y = centers[None, left:right], centers[top:bottom, None]
        edges = [(u[0] - x) * (v[1] - y) - (u[1] - y) * (v[0] - x)
                 for u, v in ((b, c), (c, a), (a, b))]
        total = edges[0] + edges[1] + edges[2]
        with np.errstate(all='ignore'):
            weights = [edge / total for edge in edges]
        z = weights[0] * a[2] + weights[1] * b[2] + weights[2] * c[2]
        box = (slice(top, bottom), slice(left, right))
        hit = np.logical_and.reduce([w >= 0 for w in weights])
        hit &= z < depth[box]
        depth[box][hit] = z[hit]
        index[box][hit] = face
    return index


def naive_mrf(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """ID-MRF sample by sample; autograd keeps all N x M matrices."""
    mean = target.mean(1, keepdim=True)
    total = 0.
    for x, y in zip(F.normalize(pred - mean, dim=1),
                    F.normalize(target - mean, dim=1), strict=True):
        distance = (1 - y.flatten(1).T @ x.flatten(1)) / 2
        relative = distance / (distance.amin(0) + 1e-5)
        weight = ((1 - relative) / .5).exp()
        share = (weight / weight.sum(0)).amax(1).mean()
        total = total - share.log()
    return total / len(pred)


def write_clip(folder: Path, frames: int = 5, side: int = 512) -> None:
    """A clip folder of smooth random images."""
    rng = np.random.default_rng(0)
    for name in ('jpg', 'kpt', 'seg/masks'):
        (folder / name).mkdir(parents=True)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    box = np.stack([np.cos(angle), np.sin(angle)], 1) * side / 4 + side / 2
    for i in range(1, frames + 1):
        image = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8),
                           (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'jpg/{i:05d}.jpg'), image)
        np.save(folder / f'kpt/{i:05d}_kpt2d.npy', (box + i).astype('f4'))
        np.save(folder / f'seg/masks/{i:05d}.npy', np.ones((side, side)))


def naive_clip(folder: Path) -> list[np.ndarray]:
    """Crop each frame to 224 by bilinear gathers in NumPy."""
    crops = []
    for path in sorted((folder / 'jpg').iterdir()):
        image = cv2.imread(str(path))[..., ::-1].astype(np.float64) / 255
        mask = np.load(folder / f'seg/masks/{path.stem}.npy')
        image = np.concatenate([image, mask[..., None]], -1)
        points = np.load(folder / f'kpt/{path.stem}_kpt2d.npy')
        side = 1.6 * np.ptp(points, 0).mean()
        start = (points.min(0) + points.max(0)) / 2 - side / 2
        x, y = (start[:, None] + np.linspace(0, side, 224)).clip(0, 510.999)
        i, j = y.astype(int)[:, None], x.astype(int)[None]
        dy, dx = (y - y.astype(int))[:, None, None], (
            x - x.astype(int))[None, :, None]
        crops.append((1 - dy) * ((1 - dx) * image[i, j]
                                 + dx * image[i, j + 1])
                     + dy * ((1 - dx) * image[i + 1, j]
                             + dx * image[i + 1, j + 1]))
    return crops
