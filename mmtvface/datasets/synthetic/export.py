# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write clips as folders of frames."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel


def write_clip_folder(item: dict, folder: str | os.PathLike,
                      quality: int = 95, codes: bool = False) -> Path:
    """Write a dataset item in the layout that ``FaceClipDataset`` reads.

    Writes ``jpg/00001.jpg``, ``kpt/00001_kpt2d.npy`` (68, 2) pixel indices,
    ``seg/masks/00001.npy`` (H, W) float32 and ``serial.npy``.

    Args:
        item: dict(inputs, data_samples) of a synthetic (or any) dataset.
        folder: Folder of the clip, made if needed.
        quality: Of the JPEG files.
        codes: Also write the true codes to ``gt_codes.npz``.

    Returns:
        The folder.

    Raises:
        ValueError: If the item has no landmarks, or no codes though they
            are asked for.
        OSError: If a file cannot be written.
    """
    images, sample = item['inputs'], item['data_samples']
    missing = [name for name, wanted in (('gt_landmarks', True),
                                         ('gt_codes', codes))
               if wanted and name not in sample]
    if missing:
        raise ValueError(f'The clip has no {missing}; it has '
                         f'{sorted(sample.keys())}.')
    folder = Path(folder)
    masks = sample.get('gt_masks')
    parts = ['jpg', 'kpt'] + ['seg/masks'] * (masks is not None)
    for part in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
    height, width = images.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float32)
    points = ndc_to_pixel(sample.gt_landmarks[..., :2], size)
    names = []
    for index, (image, pixels) in enumerate(
            zip(images, points.numpy(), strict=True)):
        name = f'{index + 1:05d}'
        names.append(f'{name}.jpg')
        frame = image.permute(1, 2, 0).numpy()[..., ::-1]
        path = folder / 'jpg' / names[-1]
        data = cv2.imencode('.jpg', np.ascontiguousarray(frame),
                            [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        path.write_bytes(data.tobytes())
        np.save(folder / 'kpt' / f'{name}_kpt2d.npy',
                pixels.astype(np.float32))
        if masks is not None:
            np.save(folder / 'seg/masks' / f'{name}.npy',
                    masks[index, 0].numpy().astype(np.float32))
    np.save(folder / 'serial.npy', np.array(names))
    if codes:
        np.savez(folder / 'gt_codes.npz', **{
            name: value.numpy() for name, value in sample.gt_codes.items()})
    return folder
