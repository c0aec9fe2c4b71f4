# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Constancy of the shape code."""

from collections.abc import Mapping
from typing import Any

import torch

from mmtvface.registry import METRICS

from ..functional import code_spread
from .clip_metric import ClipMetric, Values, mean


@METRICS.register_module()
class ShapeConstancy(ClipMetric):
    """How far a code that should be constant strays within clips, percent.

    Results: ``shape/spread`` (mean over the clips of the largest distance
    from the clip's mean code, in percent of that code's norm) and
    ``shape/spread_worst`` (of the worst clip).

    Args:
        name: Code, ``'shape'`` or ``'tex'``.
        kwargs: See mmengine's ``BaseMetric``.
    """

    default_prefix = 'shape'

    def __init__(self, name: str = 'shape', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Spread of one clip."""
        codes = sample['pred_codes'][self.name].double()
        return dict(spread=100 * code_spread(codes)[None])

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean and worst spread."""
        spread = values.get('spread', [])
        return dict(
            spread=mean(spread),
            spread_worst=float(max(spread, default=float('nan'))))
