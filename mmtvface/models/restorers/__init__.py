# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Parts for the restorers of mmagic."""

from .conditioned_restorer import ConditionedRestorer

__all__ = ['ConditionedRestorer']
