# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What predicted identities gain over everybody's mean head."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mmtvface.registry import METRICS

from ..functional.clip_scores import face_region, neutral_errors
from .clip_metric import Values, mean
from .head_model import HeadMetric, leads_to


@METRICS.register_module()
class IdentityGain(HeadMetric):
    """Error of the neutral face against that of the mean head.

    Results:
        ``identity/neutral_mm``: mean distance of the neutral face's vertices
        (:func:`~mmtvface.evaluation.functional.face_region`) after rigid
        alignment, mm; mean over frames and then clips.
        ``identity/gain``: ``1 - neutral_mm / m``, where m is the same error
        of the mean head (shape code zero): 0 of an answer that takes
        everybody for the same person, 1 is best.

    NaN where the truth has codes of another head than the model.

    Args: see :class:`~.head_model.HeadMetric`.
    """

    default_prefix = 'identity'

    @torch.no_grad()
    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Errors of one clip, (1,) each."""
        truth = sample.get('gt_codes') or {}
        if 'shape' not in truth:
            return {}
        flame = self.head_model(sample)
        truth, pred = ({name: code.detach().float().cpu()
                        for name, code in codes.items()}
                       for codes in (truth, sample['pred_codes']))
        if not leads_to(flame, truth, sample.get('gt_vertices')):
            return {name: torch.tensor([torch.nan])
                    for name in ('neutral_mm', 'neutral_mean_mm')}
        shape = truth['shape'][:1]
        own, mean_head = neutral_errors(
            flame.neutral(pred['shape']), *flame.neutral(
                torch.cat([shape, 0 * shape])).split(1),
            face_region(flame, shape[0]))
        own = own.nanmean()[None]
        # Both of the same clips
        return dict(neutral_mm=own, neutral_mean_mm=torch.where(
            own.isnan(), own, mean_head))

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean error and gain."""
        if not values:
            return {}
        own = values.get('neutral_mm', np.zeros(0))
        mean_head = values.get('neutral_mean_mm', np.zeros(0))
        if not len(own) or not mean_head.sum():
            return dict(neutral_mm=mean(own), gain=float('nan'))
        return dict(neutral_mm=mean(own),
                    gain=1 - mean(own) / mean(mean_head))
