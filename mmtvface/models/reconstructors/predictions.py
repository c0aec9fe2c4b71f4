# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Predictions of a batch as data samples."""

from collections.abc import Mapping, Sequence

import torch

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
