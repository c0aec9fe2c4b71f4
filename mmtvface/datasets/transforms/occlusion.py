# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Put hands, microphones and other things in front of the face of a clip."""

from collections.abc import Sequence

import numpy as np

from mmtvface.registry import TRANSFORMS

from ..synthetic.occluders import KINDS, cover, draw_occluder, occluder_path

_DEFAULT_SKIN = np.array([200., 160., 140.])


def skin_color(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Mean colour of the masked pixels.

    Args:
        images: (t, H, W, 3) uint8 RGB.
        masks: (t, H, W) 0..1.

    Returns:
        (3,) 0..255; a medium skin tone if the masks are empty.
    """
    chosen = images[:, ::4, ::4][masks[:, ::4, ::4] > .5]
    return chosen.mean(0) if len(chosen) else _DEFAULT_SKIN


@TRANSFORMS.register_module()
class ClipOcclusion:
    """Cover a part of the face by something that moves smoothly.

    The masks lose what is covered. A clip without masks gets some, whether
    it is covered or not, so that all samples have the same fields.

    Required Keys: images, landmarks, masks, rng.

    Modified Keys: images, masks; landmarks with ``hide_landmarks``.

    Args:
        prob: Probability of one thing in front of a clip.
        kinds: Which things, see
            :data:`mmtvface.datasets.synthetic.occluders.KINDS`.
        hide_landmarks: Covered landmarks get the visibility 0. Their
            places are known all the same, so the default teaches the model
            to guess what it does not see.
        fps: Frames per second, for the speed of the motion.
    """

    def __init__(self, prob: float = .3, kinds: Sequence[str] = KINDS,
                 hide_landmarks: bool = False, fps: float = 25.):
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in 0..1, but it is {prob}.')
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds:
            raise ValueError(f'kinds must be some of {KINDS}, but there is '
                             f'{unknown or "none"}.')
        self.prob = prob
        self.kinds = tuple(kinds)
        self.hide_landmarks = hide_landmarks
        self.fps = fps

    def __call__(self, results: dict) -> dict:
        """Cover with the probability ``prob``."""
        images, rng = results['images'], results['rng']
        frames, size = images.shape[0], images.shape[1]
        masks = results['masks']
        if masks is None:
            masks = np.ones(images.shape[:3], np.float32)
        results = {**results, 'masks': masks}
        if rng.random() >= self.prob:
            return results
        tone = skin_color(images, masks) * rng.uniform(.7, 1.1)
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        thing = draw_occluder(rng, size, tone, kind)
        path = occluder_path(rng, frames, size, self.fps)
        results['images'], opacity = cover(images, thing, path)
        results['masks'] = masks * (1 - opacity)
        if self.hide_landmarks:
            results['landmarks'] = hide_covered(results['landmarks'], opacity)
        return results


def hide_covered(landmarks: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Set the visibility of covered landmarks to 0.

    Args:
        landmarks: (t, N, 3) NDC of the crop and visibility.
        opacity: (t, S, S) 0..1 of what is in front.

    Returns:
        A new array.
    """
    size = opacity.shape[-1]
    places = np.rint(((landmarks[..., :2] + 1) * size - 1) / 2).astype(int)
    inside = ((places >= 0) & (places < size)).all(-1)
    columns, rows = np.moveaxis(places.clip(0, size - 1), -1, 0)
    frames = np.arange(len(landmarks))[:, None]
    covered = inside & (opacity[frames, rows, columns] > .5)
    out = landmarks.copy()
    out[..., 2] = np.where(covered, 0, out[..., 2])
    return out
