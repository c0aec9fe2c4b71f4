# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Shape consistency: the frames of a clip show one person.

Frames of one clip exchange their shape codes, and every exchanged frame must
still explain its own image (DECA, Feng et al., SIGGRAPH 2021, section 4.1,
"shape consistency loss", here by data doubling as in its published code).
"""

from collections.abc import Mapping

import torch

from mmtvface.utils.host_sync import upload


def random_exchange(num_clips: int, num_frames: int) -> torch.Tensor:
    """A random permutation of the frames of every clip.

    Drawn on the CPU from torch's global generator, whatever the device, so
    that a seed gives the same exchange everywhere and a restored generator
    state continues it.

    Args:
        num_clips: n.
        num_frames: t.

    Returns:
        (n * t,) index of the frame that lends its code, within its clip.
    """
    order = torch.rand(num_clips, num_frames).argsort(1)
    start = torch.arange(num_clips)[:, None] * num_frames
    return (order + start).flatten()


def append_exchanged(codes: Mapping[str, torch.Tensor], exchange: torch.Tensor,
                     name: str = 'shape') -> dict[str, torch.Tensor]:
    """Codes of the frames, then of the same frames with another's shape.

    Args:
        codes: Name -> (B, ...).
        exchange: (B,) index of the frame that lends its code.
        name: The code that is exchanged.

    Returns:
        Name -> (2 * B, ...); all but ``name`` are the same twice.
    """
    exchange = upload(exchange, codes[name].device)
    return {
        key: torch.cat([code, code[exchange] if key == name else code])
        for key, code in codes.items()
    }
