# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Keeps numbers that are not finite away from the weights."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from mmengine.logging import MMLogger

from mmtvface.structures import FaceClipSample

from .clip_targets import clip_names


def guard_losses(losses: Mapping[str, torch.Tensor],
                 codes: Sequence[torch.Tensor],
                 samples: Sequence[FaceClipSample],
                 parameters: Iterable[torch.nn.Parameter],
                 skip: bool) -> dict[str, torch.Tensor]:
    """Losses if all of them and the codes are finite.

    Args:
        losses: Name -> scalar.
        codes: (n, t, C) each.
        samples: n samples, whose clips are named in messages.
        parameters: What is trained, for zero gradients.
        skip: Instead of losses that are not finite return zeros, with zero
            gradients for all parameters, and warn. Codes that are not finite
            are an error all the same.

    Returns:
        Name -> scalar.

    Raises:
        FloatingPointError: Naming terms and clips.
    """
    codes = torch.cat([code.detach().float() for code in codes], -1)
    names = ['codes', *losses]
    # One synchronisation with the device for all terms. Losses on renders
    # alone stay finite without codes: such faces are not drawn.
    finite = torch.stack([
        codes.isfinite().all(),
        *(value.detach().isfinite() for value in losses.values())
    ]).tolist()
    if all(finite):
        return dict(losses)
    bad = [name for name, ok in zip(names, finite, strict=True) if not ok]
    clips = clip_names(samples)
    broken = [
        clip for clip, ok in zip(
            clips, codes.isfinite().flatten(1).all(1).tolist(), strict=True)
        if not ok
    ]
    message = (f'{bad} are not finite for the batch of clips {clips}; ' +
               (f'the codes of {broken} are not finite either.' if broken
                else 'the codes are finite.'))
    if broken or not skip:
        raise FloatingPointError(
            f'{message} Check these clips (images, landmarks), lower the '
            'learning rate or clip gradients. skip_nonfinite=True leaves '
            'out batches whose codes are finite.')
    MMLogger.get_current_instance().warning(f'Skipped a batch: {message}')
    # Zero gradients for every weight, so that distributed training stays in
    # step.
    zero = sum(0. * parameter.sum() for parameter in parameters
               if parameter.requires_grad)
    return {name: zero for name in losses}
