# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of the 68 landmarks."""

from collections.abc import Mapping
from typing import Any

import torch

from mmtvface.registry import METRICS

from ..functional import normalized_mean_error
from .clip_metric import ClipMetric, Values, image_points, mean, median


@METRICS.register_module()
class LandmarkNME(ClipMetric):
    """Normalised mean error of the projected landmarks, in percent.

    Results: ``landmark/nme`` (mean over the frames), ``landmark/nme_median``
    and ``landmark/nme_worst``. Landmarks that are not visible do not count,
    nor do frames without any.

    Args:
        normalizer: ``'box'`` (mean of width and height of the landmarks'
            box) or ``'interocular'`` (distance of the outer eye corners).
        source: Predictions, ``'pred_landmarks2d'`` or
            ``'pred_landmarks3d'`` (fixed contour, projected).
        kwargs: See mmengine's ``BaseMetric``.
    """

    default_prefix = 'landmark'

    def __init__(self,
                 normalizer: str = 'box',
                 source: str = 'pred_landmarks2d',
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalizer = normalizer
        self.source = source

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Error of every frame."""
        pred, target = sample[self.source], sample.get('gt_landmarks')
        if target is None:
            return dict(nme=pred.new_full((len(pred), ), torch.nan))
        return dict(
            nme=100 * normalized_mean_error(
                image_points(pred[..., :2], sample),
                image_points(target[..., :2], sample), target[..., 2] > 0,
                self.normalizer))

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean, median and largest error."""
        nme = values.get('nme', [])
        return dict(
            nme=mean(nme),
            nme_median=median(nme),
            nme_worst=float(max(nme, default=float('nan'))))
