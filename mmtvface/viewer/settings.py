# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What can be chosen for a page; imports nothing heavy."""

from dataclasses import dataclass

from mmtvface.utils.settings import Settings, option


@dataclass(frozen=True)
class ViewSettings(Settings):
    """Settings of :func:`~.write_view.write_view`."""

    height: int = option(
        360, 'of the pictures of the video in pixels, at most', least=1)
    every: int = option(
        1, 'frames from one picture of the video to the next; the heads move '
        'in all', least=1)
    max_mb: float = option(
        200., 'largest size of the page, in millions of bytes', above=0)
