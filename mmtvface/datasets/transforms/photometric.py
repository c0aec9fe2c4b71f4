# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Change colours and quality of a clip, equally in all its frames."""

from collections.abc import Mapping

import numpy as np

from mmtvface.registry import TRANSFORMS

from ..synthetic.degradations import (
    adjust_color,
    apply_degradation,
    check_degradations,
    draw_degradation,
)


@TRANSFORMS.register_module()
class ClipColorJitter:
    """Brightness, white balance, gamma and saturation, one draw per clip.

    Required Keys: images, rng.

    Modified Keys: images.

    Args:
        brightness: Largest relative change of all channels.
        balance: Largest relative change of single channels.
        gamma: Largest absolute log of the exponent.
        saturation: Largest relative change.
    """

    def __init__(self, brightness: float = .2, balance: float = .05,
                 gamma: float = .2, saturation: float = .3):
        self.brightness = brightness
        self.balance = balance
        self.gamma = gamma
        self.saturation = saturation

    def __call__(self, results: dict) -> dict:
        """Jitter the colours."""
        rng = results['rng']
        gain = 1 + self.brightness * rng.uniform(-1, 1)
        gains = gain * (1 + self.balance * rng.uniform(-1, 1, 3))
        images = adjust_color(
            results['images'], tuple(gains.tolist()),
            float(np.exp(self.gamma * rng.uniform(-1, 1))),
            1 + self.saturation * rng.uniform(-1, 1))
        return {**results, 'images': images}


@TRANSFORMS.register_module()
class ClipDegradation:
    """Lower the quality of a clip as cameras and codecs do.

    Required Keys: images, rng.

    Modified Keys: images.

    Args:
        config: Changes to the defaults, see
            :func:`mmtvface.datasets.synthetic.check_degradations`.
    """

    def __init__(self, config: Mapping[str, Mapping] | None = None):
        self.config = check_degradations(config)

    def __call__(self, results: dict) -> dict:
        """Degrade the images."""
        rng = results['rng']
        degradation = draw_degradation(rng, self.config)
        images = apply_degradation(results['images'], degradation, rng)
        return {**results, 'images': images}
