# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Metric over clips, each of which contributes arrays of numbers."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mmtvface.geometry.camera import ndc_to_pixel

from ..charts import Chart

Values = dict[str, np.ndarray]
# Key of what a record holds besides values.
CONTEXT = '_context'


class ClipMetric(BaseMetric):
    """Keeps one record per clip, so that gathering over processes is exact.

    mmengine drops the samples that pad the last batch by their number, which
    is right only if every sample leaves exactly one record. A record maps a
    quantity to its values in the clip (one per frame, mostly); NaN stands
    for a frame without ground truth or prediction.

    The records of the last evaluation stay in ``records``, in the main process
    only, for :meth:`charts`.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``, see mmengine.
        prefix: Prefix of the names of the results.
        collect_dir: See mmengine.
    """

    records: Sequence[dict[str, Any]] = ()

    @abstractmethod
    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Values of the quantities in one clip.

        Args:
            sample: A :class:`FaceClipSample` as a dict.

        Returns:
            Quantity -> (k,) values, possibly none or NaN.
        """

    @abstractmethod
    def summarise(self, values: Values) -> dict[str, float]:
        """Results from the finite values of all clips.

        Args:
            values: Quantity -> (K,) finite values, K may be 0.
        """

    def context(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """What charts need to know of a clip besides its values.

        Args:
            sample: A :class:`FaceClipSample` as a dict.

        Returns:
            Small things that can be pickled; default: nothing.
        """
        return {}

    def charts(self) -> list[Chart]:
        """Charts of the last evaluation; none in other processes."""
        return []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the record of each clip of a batch."""
        for sample in data_samples:
            record = {
                name: value.detach().double().cpu().numpy()
                for name, value in self.measure(sample).items()
            }
            if context := self.context(sample):
                record[CONTEXT] = context
            self.results.append(record)

    def compute_metrics(self, results: list[Values]) -> dict[str, float]:
        """Results over all clips, and how many values counted.

        A quantity without a single value gives NaN. ``{name}_count`` and
        ``{name}_skipped`` are added where values were skipped.
        """
        self.records = results
        values: Values = {}
        counts: dict[str, float] = {}
        for name in dict.fromkeys(name for record in results
                                  for name in record if name != CONTEXT):
            every = np.concatenate(
                [record[name] for record in results if name in record])
            values[name] = every[np.isfinite(every)]
            if skipped := len(every) - len(values[name]):
                counts[f'{name}_count'] = len(values[name])
                counts[f'{name}_skipped'] = skipped
        return self.summarise(values) | counts


def mean(values: np.ndarray) -> float:
    """Mean, NaN (without a warning) of nothing."""
    return float(values.mean()) if len(values) else float('nan')


def median(values: np.ndarray) -> float:
    """Median, NaN (without a warning) of nothing."""
    return float(np.median(values)) if len(values) else float('nan')


def image_points(ndc: torch.Tensor, sample: Mapping[str,
                                                    Any]) -> torch.Tensor:
    """NDC of crops to pixels of the original frames.

    Pixels, unlike NDC, are square in any image, and the motion of crops that
    follow the face is undone.

    Args:
        ndc: (t, N, 2) in the crops.
        sample: Holds ``image_size`` (H, W) and possibly ``crop_matrices``.
            Without the latter the result is in pixels of the crops, without
            the former in halves of a square crop's side.

    Returns:
        (t, N, 2) float64.
    """
    ndc = ndc.double()
    size = sample.get('image_size')
    if size is None:
        return ndc
    pixels = ndc_to_pixel(ndc, ndc.new_tensor([size[1], size[0]]))
    matrices = sample.get('crop_matrices')
    if matrices is None:
        return pixels
    inverse = torch.linalg.inv(torch.as_tensor(matrices).to(ndc))
    return pixels @ inverse[:, :2, :2].mT + inverse[:, None, :2, 2]
