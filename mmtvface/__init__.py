# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""mmtvface: animatable, detailed 3D faces from video (OpenMMLab plugin)."""

from .version import __version__

__all__ = ['__version__']
