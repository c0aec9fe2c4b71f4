# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Jitter of vertices and landmarks."""

from collections.abc import Mapping
from typing import Any

import torch

from mmtvface.registry import METRICS

from ..functional import acceleration_error, box_size, jitter
from ..functional.vertex_error import MM_PER_M
from .clip_metric import ClipMetric, Values, image_points, mean


@METRICS.register_module()
class Jitter(ClipMetric):
    """Mean acceleration, and its distance from the true acceleration.

    Results, means over all runs of three frames: ``jitter/vertices_mm``
    (mm per frame squared, model space: head rotation, jaw and expression,
    without the camera), ``jitter/landmarks`` (percent of the size of the
    landmarks' box in the original frames, per frame squared: everything);
    and where the data has the truth, ``..._gt`` (how much it moves itself)
    and ``..._error``.

    Clips shorter than three frames contribute nothing.
    """

    default_prefix = 'jitter'

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Accelerations in every run of three frames."""
        vertices = sample['pred_vertices'].double() * MM_PER_M
        values = dict(vertices_mm=jitter(vertices))
        if (truth := sample.get('gt_vertices')) is not None:
            truth = truth.double() * MM_PER_M
            values['vertices_mm_gt'] = jitter(truth)
            values['vertices_mm_error'] = acceleration_error(vertices, truth)
        points = image_points(sample['pred_landmarks2d'], sample)
        truth = sample.get('gt_landmarks')
        if truth is None:
            percent = 100 / box_size(points).mean()
            return values | dict(landmarks=percent * jitter(points))
        visible = truth[..., 2] > 0
        truth = image_points(truth[..., :2], sample)
        percent = 100 / box_size(truth, visible).nanmean()
        return values | dict(
            landmarks=percent * jitter(points),
            landmarks_gt=percent * jitter(truth, visible),
            landmarks_error=percent *
            acceleration_error(points, truth, visible))

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean of each quantity."""
        return {name: mean(value) for name, value in values.items()}
