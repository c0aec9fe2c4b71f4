# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What can be saved, and what each of it needs."""

from collections.abc import Sequence

from mmtvface.visualization.frame_painter import PICTURES, FramePainter

KINDS = ('obj', 'dense', 'codes', 'mat', 'flame_npz', 'glb', 'landmarks',
         *PICTURES, 'grid', 'video', 'detail_video', 'comparison_video')
DEFAULT_KINDS = ('obj', 'codes', 'grid', 'video')

#: Videos, and the pictures that they show.
VIDEOS = {'video': 'overlay', 'detail_video': 'detail_overlay',
          'comparison_video': 'overlay'}


def check_kinds(save: Sequence[str],
                painter: FramePainter | None = None) -> tuple[str, ...]:
    """Check what is to be saved before any work is done for it.

    Args:
        save: Of :data:`KINDS`.
        painter: With the parts of the model; None: only the names are
            checked.

    Returns:
        The kinds, each once.

    Raises:
        ValueError: If a name is unknown or the model lacks what it needs.
    """
    if unknown := [name for name in save if name not in KINDS]:
        raise ValueError(f'Cannot save {unknown}; there are {list(KINDS)}.')
    kinds = tuple(dict.fromkeys(save))
    for kind in kinds if painter else ():
        if missing := painter.missing_part(VIDEOS.get(kind, kind)):
            raise ValueError(
                f"Cannot save '{kind}': the model of the config has no "
                f"{missing.removeprefix('an ').removeprefix('a ')}. Use a "
                f"config with one, or leave out '{kind}'.")
    return kinds
