# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From a batch of the data loader to what a reconstructor reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from mmtvface.registry import MODELS
from mmtvface.structures import FaceClipSample
from mmtvface.utils.host_sync import may_synchronize


def check_clips(clips: Sequence[torch.Tensor] | torch.Tensor) -> torch.dtype:
    """Check that clips can be stacked and are images.

    Args:
        clips: Clips (t, 3, H, W), or one tensor (n, t, 3, H, W).

    Returns:
        The dtype of the first.

    Raises:
        ValueError: If there is no clip, the shapes differ or are not those
            of clips, or values are neither uint8 nor floating point.
    """
    if len(clips) == 0:
        raise ValueError('The batch holds no clip.')
    for index, clip in enumerate(clips):
        if not isinstance(clip, torch.Tensor):
            raise ValueError(f'Clip {index} of the batch must be a tensor (t, '
                             f'3, H, W), but it is {type(clip).__name__}.')
        if clip.ndim != 4 or clip.shape[1] != 3:
            raise ValueError(
                f'Clip {index} of the batch must have the shape (t, 3, H, W), '
                f'but it is {tuple(clip.shape)}. A single image is a clip of '
                'one frame: image[None].')
        if clip.shape != clips[0].shape:
            raise ValueError(
                'The clips of a batch must have the same number and size of '
                f'frames, but the first is {tuple(clips[0].shape)} and clip '
                f'{index} is {tuple(clip.shape)}. Use the same clip length '
                'and crop size for all, or batch_size=1.')
        if clip.dtype != torch.uint8 and not clip.is_floating_point():
            raise ValueError(f'Clip {index} of the batch must be uint8 0..255 '
                             'or floating point 0..1, but its dtype is '
                             f'{clip.dtype}.')
    return clips[0].dtype


def to_unit_range(images: torch.Tensor) -> torch.Tensor:
    """Colours as float32 in [0, 1].

    Args:
        images: uint8 0..255, or floating point already in [0, 1].

    Returns:
        float32, same shape.

    Raises:
        ValueError: If floating point values on a CPU reach far beyond 1.
    """
    if images.dtype == torch.uint8:
        return images.float() / 255
    # Filters overshoot by a little; 0..255 overshoots by a lot.
    if (may_synchronize(images.device)
            and (top := images.amax().item()) > 2):
        raise ValueError('Floating point images must lie in [0, 1], but their '
                         f'maximum is {top:.4g}; divide them by 255.')
    return images.float()


@MODELS.register_module()
class FaceClipDataPreprocessor(BaseDataPreprocessor):
    """Stacks clips, scales them to [0, 1] and moves everything.

    Input is what mmengine's ``pseudo_collate`` makes of dataset items:
    ``inputs`` a list of uint8 (or float [0, 1]) clips (t, 3, H, W) RGB and
    ``data_samples`` a list of :class:`FaceClipSample` (may be absent). Bytes
    travel to the device, floats are made there.

    Args:
        non_blocking: Copy to the device asynchronously (pinned memory).
    """

    def __init__(self, non_blocking: bool = False) -> None:
        super().__init__(non_blocking)

    def cast_data(self, data: Any) -> Any:
        """Move data to the device, dictionaries in data samples included."""
        data = super().cast_data(data)
        if isinstance(data, FaceClipSample):
            for name, value in data.items():
                if isinstance(value, Mapping):
                    data.set_data({name: self.cast_data(value)})
        return data

    def _stacked(self, clips: Sequence[torch.Tensor] | torch.Tensor
                 ) -> torch.Tensor:
        """On the device; stacked there, as a stack here is not pinned."""
        if isinstance(clips, torch.Tensor):
            return self.cast_data(clips)
        return torch.stack(self.cast_data(list(clips)))

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Make a batch.

        Args:
            data: ``inputs`` and possibly ``data_samples``.
            training: Has no effect; augmentation is the dataset's.

        Returns:
            ``inputs`` (n, t, 3, H, W) float32 RGB [0, 1] and
            ``data_samples``, a list of n, or None.

        Raises:
            ValueError: If the batch is not as described.
        """
        if not isinstance(data, Mapping) or 'inputs' not in data:
            raise ValueError(
                "A batch must be a dict with 'inputs' (and 'data_samples'), "
                f'but it is {_describe(data)}.')
        clips = data['inputs']
        dtype = check_clips(clips)
        samples = data.get('data_samples')
        if samples is not None and len(samples) != len(clips):
            raise ValueError(f'There are {len(clips)} clips but '
                             f'{len(samples)} data samples in the batch.')
        if dtype == torch.uint8:
            inputs = to_unit_range(self._stacked(clips))
        else:
            # Checked where they are: a GPU would have to be waited for.
            inputs = self._stacked(
                to_unit_range(clips) if isinstance(clips, torch.Tensor)
                else [to_unit_range(clip) for clip in clips])
        return dict(inputs=inputs, data_samples=self.cast_data(samples))


def _describe(data: Any) -> str:
    if isinstance(data, Mapping):
        return f'a dict with {sorted(map(str, data))}'
    return f'a {type(data).__name__}'
