# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of the 68 landmarks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.registry import METRICS

from ..charts import (
    Chart,
    clip_context,
    cumulative_chart,
    place_chart,
    time_chart,
)
from ..functional import normalized_mean_error
from ..functional.yaw import bin_index, bin_names, head_yaw
from .clip_metric import (
    CONTEXT,
    ClipMetric,
    Values,
    image_points,
    mean,
    median,
)

YAW_SOURCES = ('auto', 'truth', 'prediction')
_LABEL = 'NME in percent'


@METRICS.register_module()
class LandmarkNME(ClipMetric):
    """Normalised mean error of the projected landmarks, in percent.

    Results: ``landmark/nme`` (mean over the frames), ``landmark/nme_median``
    and ``landmark/nme_worst``. Landmarks that are not visible do not count,
    nor do frames without any.

    With ``yaw_bins`` also ``landmark/nme_yaw_0_30`` and so on, means over the
    frames whose head is turned by so many degrees to either side,
    ``..._frames``, their number, and ``landmark/nme_balanced``, the mean of
    the bins' means (NaN if a bin is empty).

    Charts: the cumulative error, the error by the position in the window that
    the model saw, and over the time of whole clips; bars of the yaw bins.

    Args:
        normalizer: ``'box'`` (mean of width and height of the landmarks'
            box), ``'box_area'`` (root of width times height, as on
            AFLW2000-3D) or ``'interocular'`` (distance of the outer eye
            corners).
        source: Predictions, ``'pred_landmarks2d'`` or
            ``'pred_landmarks3d'`` (fixed contour, projected).
        yaw_bins: Increasing edges in degrees, such as (0, 30, 60, 90), see
            :func:`~mmtvface.evaluation.functional.bin_index`; None: no bins.
        yaw_source: ``'truth'``: ``yaw`` of the sample's meta information,
            (t,) degrees; ``'prediction'``: of the predicted rotation;
            ``'auto'``: the former where there is one. Frames with a NaN yaw
            are in no bin.
        kwargs: See mmengine's ``BaseMetric``.

    Raises:
        ValueError: If bins or source are none of these.
    """

    default_prefix = 'landmark'

    def __init__(self,
                 normalizer: str = 'box',
                 source: str = 'pred_landmarks2d',
                 yaw_bins: Sequence[float] | None = None,
                 yaw_source: str = 'auto',
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if yaw_source not in YAW_SOURCES:
            raise ValueError(f'yaw_source must be one of {YAW_SOURCES}, but '
                             f'it is {yaw_source!r}.')
        self.normalizer = normalizer
        self.source = source
        self.yaw_bins = tuple(yaw_bins) if yaw_bins else None
        self.yaw_source = yaw_source
        self._bins = bin_names(self.yaw_bins) if self.yaw_bins else []

    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Error of every frame, and of those in each bin of the yaw."""
        pred, target = sample[self.source], sample.get('gt_landmarks')
        if target is None:
            nme = pred.new_full((len(pred), ), torch.nan)
        else:
            nme = 100 * normalized_mean_error(
                image_points(pred[..., :2], sample),
                image_points(target[..., :2], sample), target[..., 2] > 0,
                self.normalizer)
        values = dict(nme=nme)
        if self.yaw_bins:
            index = bin_index(self._yaw(sample).to(nme.device), self.yaw_bins)
            for number, name in enumerate(self._bins):
                values[f'nme_yaw_{name}'] = nme[index == number]
        return values

    def _yaw(self, sample: Mapping[str, Any]) -> torch.Tensor:
        """(t,) degrees, of the truth or of the prediction.

        Raises:
            ValueError: If there is no such yaw.
        """
        truth = sample.get('yaw')
        if truth is not None and self.yaw_source != 'prediction':
            return torch.as_tensor(np.asarray(truth, np.float64)).flatten()
        if self.yaw_source == 'truth':
            raise ValueError(
                f"LandmarkNME: the sample '{sample.get('clip_id')}' has no "
                "'yaw'. Use a data set that has it (AFLW2000Dataset), or "
                "yaw_source='prediction'.")
        pose = sample['pred_codes']['pose'].double()
        return head_yaw(axis_angle_to_matrix(pose[..., :3]))

    def context(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Clip and frames of a sample."""
        return clip_context(sample, len(sample[self.source]))

    def summarise(self, values: Values) -> dict[str, float]:
        """Mean, median and largest error; means of the bins."""
        nme = values.get('nme', [])
        results = dict(
            nme=mean(nme),
            nme_median=median(nme),
            nme_worst=float(max(nme, default=float('nan'))))
        if self._bins:
            bins = {f'nme_yaw_{name}': values.get(f'nme_yaw_{name}', [])
                    for name in self._bins}
            means = {name: mean(part) for name, part in bins.items()}
            results |= means
            results |= {f'{name}_frames': float(len(part))
                        for name, part in bins.items()}
            results['nme_balanced'] = mean(np.array(list(means.values())))
        return results

    def charts(self) -> list[Chart]:
        """Charts of the last evaluation."""
        errors = [record['nme'] for record in self.records]
        if not errors:
            return []
        contexts = [record[CONTEXT] for record in self.records]
        groups = {'all frames': errors} | {
            f'yaw {name.replace("_", " to ")}': [
                record[f'nme_yaw_{name}'] for record in self.records]
            for name in self._bins}
        groups = {label: np.concatenate(parts)
                  for label, parts in groups.items()}
        groups = {label: part[np.isfinite(part)]
                  for label, part in groups.items()}
        charts = [
            cumulative_chart(groups, 'nme_cumulative', 'Landmark error',
                             _LABEL),
            place_chart(errors, 'nme_in_window',
                        'Landmark error by the position in the window',
                        _LABEL),
            time_chart(contexts, errors, 'nme_over_time',
                       'Landmark error over time', _LABEL)]
        if self._bins:
            bars = {label.removeprefix('yaw '): mean(part)
                    for label, part in groups.items()}
            charts.append(Chart(
                'nme_yaw', 'Landmark error by yaw', 'degrees', _LABEL,
                bars=bars | dict(balanced=mean(np.array(list(bars.values())
                                                        [1:])))))
        return [chart for chart in charts if chart is not None]
