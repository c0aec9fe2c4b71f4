# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Helpers without knowledge of faces."""

from .assets import cache_dir, require_file
from .checks import check_shape
from .deps import require

__all__ = ['cache_dir', 'check_shape', 'require', 'require_file']
