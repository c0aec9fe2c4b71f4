# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Predictions of a batch, and as data samples."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mmtvface.models.encoders import LandmarkLocator
from mmtvface.structures import FaceClipSample


def predicted_samples(codes: Mapping[str, torch.Tensor],
                      fields: Mapping[str, torch.Tensor],
                      samples: Sequence[FaceClipSample] | None
                      ) -> list[FaceClipSample]:
    """Data samples with predictions.

    Args:
        codes: Name -> (n, t, ...), with ``cam``.
        fields: Name -> (n, t, ...), stored as ``pred_{name}``.
        samples: n samples to be completed (they are not changed), or None.

    Returns:
        n samples with ``pred_codes``, ``pred_cam`` and the fields.
    """
    if samples is None:
        samples = [FaceClipSample() for _ in range(len(codes['cam']))]
    results = []
    for index, sample in enumerate(samples):
        result = sample.new()
        result.pred_codes = {key: code[index] for key, code in codes.items()}
        result.pred_cam = codes['cam'][index]
        for key, value in fields.items():
            result.set_data({f'pred_{key}': value[index]})
        results.append(result)
    return results


def code_spread(codes: torch.Tensor) -> torch.Tensor:
    """How much a code varies within the clips, relative to its size.

    Args:
        codes: (n, t, C).

    Returns:
        () standard deviation over the frames over the norm; 0 if constant.
    """
    with torch.no_grad():
        spread = (codes - codes.mean(1, keepdim=True)).square().sum(-1)
        norm = codes.square().sum(-1).mean().clamp(min=1e-12)
        return (spread.mean() / norm).sqrt()


def seen_in_features(encoder: nn.Module, head: nn.Module,
                     features: torch.Tensor) -> dict[str, torch.Tensor]:
    """What follows from features and not from codes.

    Args:
        encoder: Where they come from.
        head: What reads them.
        features: (n, t, C).

    Returns:
        ``landmark_log_sigma`` (n, t, 68) of a head that has it;
        ``located_landmarks`` and ``located_first`` (n, t, 68, 3) of an
        encoder that locates them, after and before its close looks (the same
        without them). float32.
    """
    seen = {}
    with torch.autocast(features.device.type, enabled=False):
        if getattr(head, 'uncertainty', None) is not None:
            seen['landmark_log_sigma'] = head.landmark_log_sigma(
                features.float())
        if getattr(encoder, 'with_landmarks', False):
            for name, first in (('located_landmarks', False),
                                ('located_first', True)):
                seen[name] = LandmarkLocator.read(features.float(), first)
    return seen
