# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The head model of metrics that need more than the predicted vertices."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmtvface.registry import MODELS

from .clip_metric import ClipMetric

# Metres; float32 and the model's device leave less than a micrometre.
_TOLERANCE = 1e-4


def build_head_model(flame: Mapping[str, Any] | nn.Module | None
                     ) -> nn.Module:
    """The head model in evaluation mode, on the CPU.

    Args:
        flame: Config or module; None is the built-in head.
    """
    if flame is None:
        flame = dict(type='mmtvface.FLAME', model_path='procedural')
    # A module that is given may be the model's own: it stays where it is.
    flame = copy.deepcopy(flame) if isinstance(
        flame, nn.Module) else MODELS.build(dict(flame))
    return flame.cpu().eval()


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
    remedy = (f"Give {metric} the model's own head: flame=..., the same "
              'config as model.flame (tools/test.py does so by itself).')
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
        flame: Config of the head model, that of the model under test; None
            is the built-in head. ``tools/train.py`` and ``tools/test.py``
            fill it in.
        kwargs: See mmengine's ``BaseMetric``.
    """

    needs_head_model = True

    def __init__(self, flame: Mapping[str, Any] | nn.Module | None = None,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config = flame
        self._flame: nn.Module | None = None

    def head_model(self, sample: Mapping[str, Any]) -> nn.Module:
        """The head model, built and checked with the first sample.

        Raises:
            ValueError: If it is another one than that of the predictions.
        """
        if self._flame is None:
            flame = build_head_model(self._config)
            check_head_model(flame, sample, type(self).__name__)
            self._flame = flame
        return self._flame
