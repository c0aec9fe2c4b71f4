# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pack a clip for the model."""

from pathlib import Path

import cv2
import numpy as np
import torch

from mmtvface.registry import TRANSFORMS
from mmtvface.structures import FaceClipSample


def to_planes(images: np.ndarray) -> np.ndarray:
    """Put the channels first, several times faster than NumPy copies.

    Args:
        images: (t, H, W, C) uint8.

    Returns:
        (t, C, H, W) uint8.
    """
    frames, height, width, channels = images.shape
    out = np.empty((frames, channels, height, width), images.dtype)
    for image, planes in zip(images, out, strict=True):
        image = np.ascontiguousarray(image)
        for channel, plane in enumerate(planes):
            cv2.extractChannel(image, channel, dst=plane)
    return out


@TRANSFORMS.register_module()
class PackFaceClip:
    """Turn the results of a pipeline into a dataset item.

    Required Keys: images, landmarks, masks, clip_id, image_names,
    crop_matrices, ori_shape.

    Returns ``dict(inputs=(t, 3, S, S) uint8 RGB tensor, data_samples=
    FaceClipSample)``.
    """

    def __call__(self, results: dict) -> dict:
        """Pack."""
        images = results['images']
        inputs = torch.from_numpy(to_planes(images))
        sample = FaceClipSample(metainfo=dict(
            clip_id=results['clip_id'],
            identity=results.get('identity', results['clip_id']),
            frame_names=[Path(name).stem for name in results['image_names']],
            frame_indices=list(results.get(
                'frame_indices', range(len(images)))),
            crop_matrices=results['crop_matrices'],
            ori_shape=results['ori_shape'],
            image_size=tuple(images.shape[1:3])))
        sample.gt_landmarks = torch.from_numpy(results['landmarks'])
        if results['masks'] is not None:
            sample.gt_masks = torch.from_numpy(results['masks'][:, None])
        return dict(inputs=inputs, data_samples=sample)
