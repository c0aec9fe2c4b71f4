# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""End-point errors of optical flow."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmtvface.geometry.optical_flow import end_point_error
from mmtvface.registry import METRICS


@METRICS.register_module()
class FlowError(BaseMetric):
    """Mean distance of flows from the truth, at each degradation level.

    Results, pixels at the resolution of the pairs, means over all pixels
    where the flow is known: ``flow/<level>_trained``, ``flow/<level>_zero``
    of zero flow, which is the mean true motion, and ``flow/<level>_ratio``
    of the two.

    Reads ``pred_flow`` and ``gt_flow`` (P, 2, h, w), ``valid`` (P, h, w)
    and ``difficulty``.
    """

    default_prefix = 'flow'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add sums of distances of each clip."""
        for sample in data_samples:
            truth, valid = sample['gt_flow'], sample['valid']
            count = int(valid.sum())
            self.results.append((sample['difficulty'], count, *(
                count * end_point_error(flow, truth, valid).item()
                for flow in (sample['pred_flow'], 0 * truth))))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means of each level.

        Raises:
            ValueError: If nothing is seen in any pair of a level.
        """
        found = {}
        for level in dict.fromkeys(name for name, *_ in results):
            pixels, trained, zero = (sum(values) for values in zip(*(
                row[1:] for row in results if row[0] == level), strict=True))
            if not pixels:
                raise ValueError(
                    'No pixel of the head is seen in two neighbouring frames '
                    f"of any clip of level '{level}'. Use more clips.")
            found |= {f'{level}_trained': trained / pixels,
                      f'{level}_zero': zero / pixels,
                      f'{level}_ratio': trained / (zero or float('nan'))}
        return found
