# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Targets of the losses, gathered from the data samples of a batch."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from mmtvface.structures import FaceClipSample
from mmtvface.utils.checks import check_shape


def clip_names(samples: Sequence[FaceClipSample]) -> list[str]:
    """Clip ids for messages, by position where a sample has none."""
    return [
        str(sample.get('clip_id', f'#{index}'))
        for index, sample in enumerate(samples)
    ]


def gather_targets(images: torch.Tensor, samples: Sequence[FaceClipSample],
                   required: Iterable[str],
                   map_size: int | None = None) -> dict[str, Any]:
    """Targets of all frames of a batch, frame by frame.

    Only what the data has is gathered. Skin masks are special, because real
    data lacks some: a clip without masks gets ones (no pixel is excluded)
    when another clip of the batch has masks; if none has, the key is absent.

    Args:
        images: (n, t, 3, H, W) [0, 1].
        samples: n samples.
        required: Keys that some loss cannot do without.
        map_size: Side S of displacement maps; None: they are left out.

    Returns:
        ``images`` (B, 3, H, W) and, where present, ``landmarks`` (B, 68, 3),
        ``masks`` (B, 1, H, W), ``codes`` dict of (B, ...), ``vertices``
        (B, V, 3), ``displacement`` (B, 1, S, S); B = n * t.

    Raises:
        ValueError: If something required is missing in a clip, or has the
            wrong shape.
    """
    num_frames, (height, width) = images.shape[1], images.shape[-2:]
    names = clip_names(samples)
    required = set(required)
    targets: dict[str, Any] = dict(images=images.flatten(0, 1))

    def complete(key: str) -> bool:
        lacking = [
            name for name, sample in zip(names, samples, strict=True)
            if sample.get(f'gt_{key}') is None
        ]
        if lacking and key in required:
            raise ValueError(
                f"The losses need 'gt_{key}', which these clips lack: "
                f'{lacking}. Use data that has it or other losses.')
        return not lacking

    shapes = dict(landmarks=(num_frames, 68, 3), vertices=(num_frames, 'V', 3))
    if map_size is not None:
        # Resizing would flatten the wrinkles.
        shapes['displacement'] = (num_frames, 1, map_size, map_size)
    for key, shape in shapes.items():
        if complete(key):
            values = [sample.get(f'gt_{key}') for sample in samples]
            for name, value in zip(names, values, strict=True):
                check_shape(f"gt_{key} of the clip '{name}'", value, shape)
            targets[key] = torch.cat(values).to(images)

    if any(sample.get('gt_masks') is not None for sample in samples):
        masks = []
        for name, sample in zip(names, samples, strict=True):
            mask = sample.get('gt_masks')
            if mask is None:
                mask = images.new_ones(num_frames, 1, height, width)
            check_shape(f"gt_masks of the clip '{name}'", mask,
                        (num_frames, 1, height, width))
            masks.append(mask.to(images))
        targets['masks'] = torch.cat(masks)

    if complete('codes'):
        codes = [sample.gt_codes for sample in samples]
        shared = set.intersection(*map(set, codes))
        targets['codes'] = {
            key: torch.cat([code[key] for code in codes]).to(images)
            for key in sorted(shared)
        }
    return targets


def repeat_targets(targets: dict[str, Any], copies: int) -> dict[str, Any]:
    """All targets ``copies`` times along the first axis."""
    if copies == 1:
        return targets

    def repeat(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: repeat(item) for key, item in value.items()}
        return torch.cat([value] * copies)

    return repeat(targets)
