# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Keeps numbers that are not finite away from the weights."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from mmengine.logging import MMLogger
from torch.utils.weak import WeakIdKeyDictionary

from mmtvface.models.targets import clip_names
from mmtvface.structures import FaceClipSample
from mmtvface.utils.host_sync import HostCopy, may_synchronize


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
    # One synchronisation with the device for all terms. Losses on renders
    # alone stay finite without codes: such faces are not drawn.
    finite = _finite_flags(losses, codes).tolist()
    if all(finite):
        return dict(losses)
    report_nonfinite(finite, list(losses), clip_names(samples), skip)
    # Zero gradients for every weight, so that distributed training stays in
    # step.
    zero = sum(0. * parameter.sum() for parameter in parameters
               if parameter.requires_grad)
    return {name: zero for name in losses}


def _finite_flags(losses: Mapping[str, torch.Tensor],
                  codes: Sequence[torch.Tensor]) -> torch.Tensor:
    """(n + L,) bool: the codes of each clip, then each loss."""
    codes = torch.cat([code.detach().float() for code in codes], -1)
    return torch.cat([
        codes.isfinite().flatten(1).all(1),
        torch.stack([value.detach().isfinite() for value in losses.values()])
    ])


def report_nonfinite(finite: Sequence[bool], terms: Sequence[str],
                     clips: Sequence[str], skip: bool,
                     when: str = '') -> None:
    """Say what is not finite.

    Args:
        finite: n flags of the clips' codes, then one of each loss.
        terms: Names of the losses.
        clips: Names of the n clips.
        skip: Only warn of losses. Codes are an error all the same.
        when: Of which step, for the message.

    Raises:
        FloatingPointError: Naming terms and clips.
    """
    broken = [clip for clip, ok in zip(clips, finite, strict=False) if not ok]
    bad = ['codes'] * bool(broken) + [
        name for name, ok in zip(terms, finite[len(clips):], strict=True)
        if not ok
    ]
    message = (f'{bad} are not finite for the batch of clips {list(clips)}'
               f'{when}; ' +
               (f'the codes of {broken} are not finite either.' if broken
                else 'the codes are finite.'))
    if broken or not skip:
        raise FloatingPointError(
            f'{message} Check these clips (images, landmarks), lower the '
            'learning rate or clip gradients. skip_nonfinite=True leaves '
            'out batches whose codes are finite.')
    MMLogger.get_current_instance().warning(f'Skipped a batch: {message}')


class LossGuard:
    """:func:`guard_losses`, which on a GPU does not wait for the answer.

    There the step before is asked about, whose answer has arrived meanwhile:
    errors and warnings come one step late, and none for the last step. What
    matters does not come late: the device itself replaces the losses and all
    gradients of a batch that is not finite by zeros, so that the weights stay
    finite (momentum still moves them).
    """

    def __init__(self) -> None:
        self._finite: torch.Tensor | None = None
        self._last: tuple | None = None
        self._hooked = WeakIdKeyDictionary()

    def __deepcopy__(self, memo: dict) -> 'LossGuard':
        """A new guard: hooks belong to the parameters that have them."""
        return LossGuard()

    def __reduce__(self) -> tuple:
        """Pickled without what belongs to this process."""
        return LossGuard, ()

    def __call__(self, losses: Mapping[str, torch.Tensor],
                 codes: Sequence[torch.Tensor],
                 samples: Sequence[FaceClipSample],
                 parameters: Iterable[torch.nn.Parameter],
                 skip: bool) -> dict[str, torch.Tensor]:
        """See :func:`guard_losses`."""
        if may_synchronize(codes[0].device):
            return guard_losses(losses, codes, samples, parameters, skip)
        flags = _finite_flags(losses, codes)
        self._finite = flags.all()
        for parameter in parameters:
            if parameter.requires_grad and parameter not in self._hooked:
                self._hooked[parameter] = parameter.register_hook(self._gate)
        last, self._last = self._last, (
            HostCopy(flags), list(losses), clip_names(samples), skip)
        if last is not None and not all(finite := last[0].tolist()):
            report_nonfinite(finite, *last[1:], ' of the step before')
        return {name: torch.where(self._finite, value, 0)
                for name, value in losses.items()}

    def _gate(self, grad: torch.Tensor) -> torch.Tensor:
        """Gradient of a parameter, or zeros for a batch left out."""
        return torch.where(self._finite, grad, 0)
