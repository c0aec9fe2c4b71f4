# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Mirror the crops of a clip left to right."""

import cv2
import numpy as np

from mmtvface.geometry.landmarks import mirror_landmarks
from mmtvface.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MirrorClip:
    """Mirror all frames of a clip, or none.

    Required Keys: images, landmarks, masks, crop_matrices, rng.

    Modified Keys:
        images, masks: Mirrored.
        landmarks: Mirrored, and in iBUG order again.
        crop_matrices: original -> mirrored crop pixel indices.

    Added Keys:
        mirrored: Whether the clip was mirrored.

    Args:
        prob: Probability, 0..1.
    """

    def __init__(self, prob: float = .5):
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in 0..1, but it is {prob}.')
        self.prob = prob

    def __call__(self, results: dict) -> dict:
        """Mirror with the probability ``prob``."""
        mirrored = bool(results['rng'].random() < self.prob)
        results = {**results, 'mirrored': mirrored}
        if not mirrored:
            return results
        images, masks = results['images'], results['masks']
        flip = np.diag([-1., 1., 1.])
        flip[0, 2] = images.shape[2] - 1
        results['images'] = np.stack([cv2.flip(image, 1) for image in images])
        results['landmarks'] = mirror_landmarks(results['landmarks'])
        results['crop_matrices'] = flip @ results['crop_matrices']
        if masks is not None:
            results['masks'] = np.ascontiguousarray(masks[:, :, ::-1])
        return results
