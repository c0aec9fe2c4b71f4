# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Results as files: meshes, pictures, videos, numbers."""

from .code_writers import stack_results
from .kinds import DEFAULT_KINDS, KINDS, check_kinds
from .painted_frame import pose_result
from .save import save_results

__all__ = ['DEFAULT_KINDS', 'KINDS', 'check_kinds', 'pose_result',
           'save_results', 'stack_results']
