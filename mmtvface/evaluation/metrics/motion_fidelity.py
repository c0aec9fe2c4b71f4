# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How well predictions follow the motion of a face."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch

from mmtvface.registry import METRICS

from ..functional.motion_fidelity import (
    MIN_MOTION,
    SIGNALS,
    MotionTerms,
    clip_motion,
)
from .clip_metric import ClipMetric, Values, image_points


@METRICS.register_module()
class MotionFidelity(ClipMetric):
    """Correlation and amplitude of the motion within clips.

    Other than errors it tells a face that moves from a mannequin: an answer
    that is constant over the frames of a clip has 0 of both.

    Results, for each of :data:`SIGNALS`: ``motion/mouth_open_corr``
    (Pearson's correlation with the truth) and ``motion/mouth_open_amplitude``
    (standard deviation over the true one), of deviations from the means of the
    clips, pooled over all clips; NaN if the truth hardly moves
    (:data:`MIN_MOTION`).

    ``mouth_open``, ``mouth_width``, ``eye_right`` and ``eye_left`` are of the
    landmarks, in pixels of the original frames
    (:func:`~mmtvface.evaluation.functional.landmark_signals`), in frames with
    all visible except the contour and the brows; ``jaw``, ``yaw``, ``pitch``
    and ``roll`` of the codes, if the data has true ones. A sample is a clip,
    be it whole or a window: short windows do not show slow motion.
    """

    default_prefix = 'motion'

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Terms of one clip: ``<signal>.<term>``, (1,) each."""
        target = sample.get('gt_landmarks')
        points = visible = poses = None
        if target is not None:
            visible = target[..., 2] > 0
            points = tuple(image_points(ndc[..., :2], sample) for ndc in (
                sample['pred_landmarks2d'], target))
        codes = [sample.get(name) or {} for name in ('pred_codes',
                                                     'gt_codes')]
        if all('pose' in part for part in codes):
            poses = tuple(part['pose'] for part in codes)
        return {f'{name}.{term}': torch.tensor([value], dtype=torch.float64)
                for name, terms in clip_motion(points, visible, poses).items()
                for term, value in asdict(terms).items()}

    def summarise(self, values: Values) -> dict[str, float]:
        """Correlation and amplitude of each signal."""
        results = {}
        for name in SIGNALS:
            if f'{name}.true' not in values:
                continue
            terms = MotionTerms(*(
                float(values[f'{name}.{field.name}'].sum())
                for field in fields(MotionTerms)))
            results[f'{name}_corr'] = terms.correlation(MIN_MOTION[name])
            results[f'{name}_amplitude'] = terms.amplitude(MIN_MOTION[name])
        return results
