# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of the vertices."""

from collections.abc import Mapping
from typing import Any

import torch

from mmtvface.registry import METRICS

from ..functional import vertex_error
from .clip_metric import ClipMetric, Values, mean, median


@METRICS.register_module()
class VertexError(ClipMetric):
    """Mean distance of the vertices after alignment, millimetres.

    Results: ``vertex/error_mm`` (mean over the frames) and
    ``vertex/error_mm_median``.

    Args:
        align: ``'rigid'``, ``'similarity'`` or ``'none'``.
        kwargs: See mmengine's ``BaseMetric``.
    """

    default_prefix = 'vertex'

    def __init__(self, align: str = 'rigid', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.align = align

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Error of every frame."""
        pred, target = sample['pred_vertices'], sample.get('gt_vertices')
        if target is None:
            return dict(error_mm=pred.new_full((len(pred), ), torch.nan))
        return dict(error_mm=vertex_error(pred, target, self.align))

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean and median error."""
        error = values.get('error_mm', [])
        return dict(error_mm=mean(error), error_mm_median=median(error))
