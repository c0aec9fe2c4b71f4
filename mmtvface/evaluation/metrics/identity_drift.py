# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How far the identity of a clip strays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmtvface.registry import METRICS

from ..charts import Chart, clip_context, time_chart
from ..functional import code_spread
from ..functional.identity_drift import identity_drift
from .clip_metric import CONTEXT, Values, mean
from .head_model import HeadMetric


@METRICS.register_module()
class IdentityDrift(HeadMetric):
    """Spread of the shape code and of the neutral head over whole clips.

    Other than :class:`ShapeConstancy` it joins the windows of a clip (by
    ``clip_id``) again: a model that shares the shape within a window may still
    change it from one to the next. Of frames that are in several windows the
    first counts. Clips of one frame tell nothing and are left out.

    Results:
        ``identity/drift_mm``: mean distance of the neutral head's vertices
        from those of the clip's mean head, over frames and then clips.
        ``identity/drift_mm_worst``: the same of the worst frame.
        ``identity/code_spread``: percent, see
        :func:`~mmtvface.evaluation.functional.code_spread`, mean over clips;
        ``identity/code_spread_worst``: of the worst clip.
        ``identity/clips``: how many clips counted.
        ``identity/frames_skipped``: frames whose code is not finite, if any.

    Chart: the drift over the time of the clips.

    Args: see :class:`~.head_model.HeadMetric`.
    """

    default_prefix = 'identity'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._drifts: list[tuple[dict[str, Any], np.ndarray]] = []

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Nothing of a single window; checks the head model once."""
        self.head_model(sample)
        return {}

    def context(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Clip, frames and the shape codes (t, S)."""
        codes = sample['pred_codes']['shape'].detach().double().cpu().numpy()
        return clip_context(sample, len(codes)) | dict(codes=codes)

    def summarise(self, values: Values) -> dict[str, float]:
        """Drift over whole clips, from the contexts of the records."""
        clips, skipped = _whole_clips(
            [record[CONTEXT] for record in self.records])
        drifts, spreads = [], []
        for clip in clips:
            codes = torch.from_numpy(clip['codes'])
            spreads.append(100 * code_spread(codes).item())
            drifts.append(identity_drift(
                self._flame, codes.float()).double().numpy())
        self._drifts = list(zip(clips, drifts, strict=True))
        nothing = float('nan')
        results = dict(
            drift_mm=mean(np.array([drift.mean() for drift in drifts])),
            drift_mm_worst=float(
                max((drift.max() for drift in drifts), default=nothing)),
            code_spread=mean(np.array(spreads)),
            code_spread_worst=float(max(spreads, default=nothing)),
            clips=float(len(clips)))
        return results | (dict(frames_skipped=float(skipped)) if skipped
                          else {})

    def charts(self) -> list[Chart]:
        """Charts of the last evaluation."""
        chart = time_chart(
            [clip for clip, _ in self._drifts],
            [drift for _, drift in self._drifts], 'drift_over_time',
            'Neutral head: distance from the mean of the clip', 'mm')
        return [] if chart is None else [chart]


def _whole_clips(windows: Sequence[Mapping[str, Any]]
                 ) -> tuple[list[dict[str, Any]], int]:
    """Windows joined to clips of at least two frames.

    Args:
        windows: See :meth:`IdentityDrift.context`.

    Returns:
        Clips with ``clip``, ``frames`` (t,), ``fps`` and ``codes`` (t, S) in
        the order of the frames, and how many frames are not finite.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for index, window in enumerate(windows):
        groups.setdefault(window['clip'] or f'#{index}', []).append(window)
    clips, skipped = [], 0
    for name, parts in groups.items():
        frames, first = np.unique(
            np.concatenate([part['frames'] for part in parts]),
            return_index=True)
        codes = np.concatenate([part['codes'] for part in parts])[first]
        good = np.isfinite(codes).all(1)
        skipped += int((~good).sum())
        if good.sum() > 1:
            clips.append(dict(clip=name, frames=frames[good],
                              fps=parts[0]['fps'], codes=codes[good]))
    return clips, skipped
