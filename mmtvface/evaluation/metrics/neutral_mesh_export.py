# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Export of neutral meshes for the NoW benchmark while testing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import nn

from mmtvface.heads import HeadAssets
from mmtvface.heads.assets import HeadSpec
from mmtvface.registry import METRICS
from mmtvface.utils.atomic import writable_dir

from ..functional.identity_drift import neutral_heads
from ..now.export import export_prediction
from ..now.files import FOLDER
from .head_model import build_head_model


@METRICS.register_module()
class NeutralMeshExport(BaseMetric):
    """Writes the neutral head and the seven landmarks of every clip.

    For images of the NoW benchmark, whose scans are not here or have a
    server of their own: ``<out_dir>/predicted_meshes/<clip_id>.obj`` and
    ``.npy``, see :mod:`mmtvface.evaluation.now`. The shape is the mean over
    the frames of a clip. Results: ``now/exported`` and ``now/skipped``, the
    numbers of clips that were written and of those whose image was
    unreadable or whose shape is not finite.

    Args:
        out_dir: Output folder.
        head: The model's, see :func:`mmtvface.heads.load_head`;
            ``tools/test.py`` fills it in.
        flame: The model's layer that poses it; likewise.
        kwargs: See mmengine's ``BaseMetric``.

    Raises:
        ValueError: If the folder cannot be written to, or the head model is
            another one than that of the predictions.
    """

    default_prefix = 'now'

    def __init__(self, out_dir: str = 'work_dirs/now',
                 head: HeadAssets | HeadSpec = 'procedural',
                 flame: Mapping[str, Any] | nn.Module | None = None,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.out_dir = Path(out_dir).expanduser()
        self._parts = head, flame
        self._flame: nn.Module | None = None

    def _head_model(self, sample: Mapping[str, Any]) -> nn.Module:
        """The head model, built and checked with the first sample."""
        if self._flame is None:
            writable_dir(self.out_dir)
            self._flame = build_head_model(*self._parts, sample,
                                           'NeutralMeshExport')
        return self._flame

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write the meshes of a batch."""
        for sample in data_samples:
            shape = sample['pred_codes']['shape'].detach().float().cpu()
            good = bool(sample.get('readable', True)
                        and shape.isfinite().all())
            if good:
                flame = self._head_model(sample)
                vertices, landmarks = neutral_heads(
                    flame, shape.mean(0, keepdim=True))
                export_prediction(
                    self.out_dir / FOLDER, str(sample['clip_id']),
                    vertices[0].numpy(), flame.faces.cpu().numpy(),
                    landmarks[0].double().numpy())
            self.results.append(torch.tensor(good))

    def compute_metrics(self, results: list[torch.Tensor]
                        ) -> dict[str, float]:
        """How many were written."""
        written = sum(bool(result) for result in results)
        return dict(exported=float(written),
                    skipped=float(len(results) - written))
