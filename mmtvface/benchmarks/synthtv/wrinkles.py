# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of the normals of models with detail, on wrinkled faces."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mmtvface.evaluation.functional.clip_scores import mean_of_finite
from mmtvface.evaluation.metrics import DetailNormalError
from mmtvface.heads import HeadAssets
from mmtvface.heads.assets import HeadSpec

from . import SynthTVDataset

NAMES = ('detail', 'coarse', 'wrinkled_detail', 'wrinkled_coarse')


@torch.no_grad()
def score_normals(model: nn.Module, dataset: SynthTVDataset,
                  head: HeadAssets | HeadSpec = 'procedural',
                  tell: Callable[[int], None] = lambda done: None
                  ) -> dict[str, Any]:
    """Angles between normals in degrees, see :class:`DetailNormalError`.

    Args:
        model: A :class:`TemporalDECA` with a detail branch.
        dataset: With wrinkles and vertices.
        head: The head, see :func:`mmtvface.heads.load_head`.
        tell: Called with the number of clips done.

    Returns:
        ``means`` and ``clips`` of ``normal_detail_deg`` (with the predicted
        displacement), ``normal_coarse_deg`` (without), and
        ``normal_wrinkled_...`` of the texels that have wrinkles.

    Raises:
        ValueError: If the model has no detail branch.
    """
    if getattr(model, 'detail', None) is None:
        raise ValueError('The model has no detail branch, so there are no '
                         'normals to measure: leave out --wrinkles.')
    metric = DetailNormalError(head)
    clips: dict[str, list[float]] = {
        f'normal_{name}_deg': [] for name in NAMES}
    for index in range(len(dataset)):
        item = dataset[index]
        batch = model.data_preprocessor(dict(
            inputs=[item['inputs']], data_samples=[item['data_samples']]))
        sample = model(batch['inputs'], batch['data_samples'], 'predict')[0]
        angles = metric.measure(sample.to_dict())
        for name in NAMES:
            clips[f'normal_{name}_deg'].append(
                mean_of_finite(angles[name].cpu()))
        tell(index + 1)
    return dict(clips=clips, means={
        name: mean_of_finite(values) for name, values in clips.items()})
