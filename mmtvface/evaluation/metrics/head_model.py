# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The head model of metrics that need more than the predicted vertices."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmtvface.heads import HeadAssets, fill
from mmtvface.heads.assets import HeadSpec
from mmtvface.registry import MODELS

from .clip_metric import ClipMetric

# Metres; float32 and the model's device leave less than a micrometre.
_TOLERANCE = 1e-4


def build_head_model(head: HeadAssets | HeadSpec,
                     flame: Mapping[str, Any] | nn.Module | None,
                     sample: Mapping[str, Any], metric: str) -> nn.Module:
    """The head model that made a prediction, on the CPU.

    Args:
        head: As for the metric.
        flame: As for the metric.
        sample: With ``pred_codes``, whose lengths are those of the model.
        metric: Name for messages.

    Raises:
        ValueError: If it is another head than that of the predictions.
    """
    if isinstance(flame, nn.Module):
        # It may be the model's own, which stays where it is.
        flame = copy.deepcopy(flame)
    else:
        codes = sample['pred_codes']
        sizes = {name: codes[key].shape[-1]
                 for key, name in (('shape', 'num_shape'),
                                   ('exp', 'num_expression')) if key in codes}
        config = dict(dict(type='mmtvface.FLAME'), **(flame or {}))
        flame = MODELS.build(fill(config, MODELS, head=head, **sizes))
    flame = flame.cpu().eval()
    check_head_model(flame, sample, metric)
    return flame


@torch.no_grad()
def check_head_model(flame: nn.Module, sample: Mapping[str, Any],
                     metric: str) -> None:
    """Raise if a head model is not the one that made the predictions.

    Args:
        flame: Of the metric.
        sample: With ``pred_codes`` and ``pred_vertices``; without the latter
            only the length of the code is checked.
        metric: Name for the message.

    Raises:
        ValueError: If the codes do not lead to the vertices.
    """
    remedy = (f"Give {metric} the model's own head: head=..., the same as "
              'model.head (tools/test.py does so by itself).')
    codes = {name: code[:1].detach().float().cpu()
             for name, code in sample['pred_codes'].items()}
    for name, size in (('shape', flame.num_shape),
                       ('exp', flame.num_expression)):
        if name in codes and codes[name].shape[-1] != size:
            raise ValueError(
                f"{metric}: the predictions' code '{name}' has "
                f'{codes[name].shape[-1]} entries, but the head model takes '
                f'{size}. {remedy}')
    vertices = sample.get('pred_vertices')
    if vertices is None or not {'exp', 'pose'} <= codes.keys():
        return
    own = flame(codes['shape'], codes['exp'], codes['pose']).vertices
    vertices = vertices[:1].detach().float().cpu()
    if not vertices.isfinite().all():
        return
    if own.shape != vertices.shape:
        raise ValueError(f'{metric}: the predictions have '
                         f'{vertices.shape[1]} vertices, the head model '
                         f'{own.shape[1]}. {remedy}')
    gap = (own - vertices).abs().max().item()
    if gap > _TOLERANCE:
        raise ValueError(f'{metric}: the predicted codes lead to other '
                         f'vertices with this head model, by {1000 * gap:.3g}'
                         f' mm. {remedy}')


@torch.no_grad()
def leads_to(flame: nn.Module, codes: Mapping[str, torch.Tensor],
             vertices: torch.Tensor | None = None) -> bool:
    """Whether codes are those of a head model.

    Args:
        flame: The head model, on the CPU.
        codes: ``shape``, ``exp`` and ``pose``, (t, C) each; some may be
            missing.
        vertices: (t, V, 3) metres, what they should lead to; None: their
            lengths alone are compared.
    """
    sizes = dict(shape=flame.num_shape, exp=flame.num_expression)
    if any(name in codes and codes[name].shape[-1] != size
           for name, size in sizes.items()):
        return False
    if vertices is None or not {'shape', 'exp', 'pose'} <= codes.keys():
        return True
    own = flame(*(codes[name][:1] for name in ('shape', 'exp', 'pose')))
    vertices = vertices[:1].detach().float().cpu()
    return own.vertices.shape == vertices.shape and bool(
        (own.vertices - vertices).abs().max() <= _TOLERANCE)


class HeadMetric(ClipMetric):
    """Metric over clips that needs the head model of the predictions.

    Args:
        head: The model's, see :func:`mmtvface.heads.load_head`;
            ``tools/train.py`` and ``tools/test.py`` fill it in.
        flame: The model's layer that poses it, a config or a module;
            likewise. Default: ``FLAME``.
        kwargs: See mmengine's ``BaseMetric``.
    """

    def __init__(self, head: HeadAssets | HeadSpec = 'procedural',
                 flame: Mapping[str, Any] | nn.Module | None = None,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._parts = head, flame
        self._flame: nn.Module | None = None

    def head_model(self, sample: Mapping[str, Any]) -> nn.Module:
        """The head model, built and checked with the first sample.

        Raises:
            ValueError: If it is another one than that of the predictions.
        """
        if self._flame is None:
            self._flame = build_head_model(*self._parts, sample,
                                           type(self).__name__)
        return self._flame
