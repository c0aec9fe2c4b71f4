# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips of one frame from single images, for evaluation."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import MMLogger

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.geometry.crop import transform_points, warp
from mmtvface.io.image import read_image
from mmtvface.structures import FaceClipSample


def single_image_item(path: Path, matrix: np.ndarray, image_size: int,
                      landmarks: np.ndarray | None = None,
                      **meta: Any) -> dict:
    """Read an image and crop it to a clip of one frame.

    An evaluation counts its samples, so that none may be left out: an image
    that cannot be read, or lies elsewhere than its face is said to be, is
    reported and becomes a black one with ``readable`` False, whose landmarks
    are not visible.

    Args:
        path: Image file.
        matrix: (3, 3) original pixel indices -> crop pixel indices.
        image_size: Side S of the crop.
        landmarks: (68, 2) original pixel indices, all visible.
        meta: More meta information of the sample.

    Returns:
        ``dict(inputs=(1, 3, S, S) uint8 RGB tensor, data_samples=
        FaceClipSample)`` with ``gt_landmarks`` if there are landmarks.
    """
    readable, shape = True, (image_size, image_size)
    try:
        image = read_image(path)
        shape = image.shape[:2]
        _check_place(matrix, image_size, shape)
        crop = cv2.cvtColor(warp(image, matrix, image_size),
                            cv2.COLOR_BGR2RGB)
    except (OSError, ValueError) as error:
        MMLogger.get_current_instance().warning(
            f"Cannot use '{path}': {error}. It counts as skipped.")
        readable = False
        crop = np.zeros((image_size, image_size, 3), np.uint8)
    sample = FaceClipSample(metainfo=dict(
        frame_names=[path.stem], frame_indices=[0],
        crop_matrices=matrix[None], ori_shape=tuple(shape),
        image_size=(image_size, image_size), readable=readable) | meta)
    if landmarks is not None:
        points = pixel_to_ndc(transform_points(landmarks, matrix), image_size)
        visible = np.full((len(points), 1), float(readable))
        sample.gt_landmarks = torch.from_numpy(
            np.concatenate([points, visible], 1)[None].astype(np.float32))
    inputs = torch.from_numpy(
        np.ascontiguousarray(crop.transpose(2, 0, 1)[None]))
    return dict(inputs=inputs, data_samples=sample)


def _check_place(matrix: np.ndarray, image_size: int,
                 shape: tuple[int, int]) -> None:
    """Raise if the middle of a crop is outside of the image.

    Raises:
        ValueError: Says where it is.
    """
    middle = np.full((1, 2), (image_size - 1) / 2)
    x, y = transform_points(middle, np.linalg.inv(matrix))[0]
    if not (0 <= x < shape[1] and 0 <= y < shape[0]):
        raise ValueError(
            f'its face should be around the pixel ({x:.0f}, {y:.0f}), but it '
            f'is only {shape[1]} x {shape[0]} pixels large (was it resized '
            'or turned?)')
