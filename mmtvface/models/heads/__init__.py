# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Heads: from features to codes, from codes to displacements."""

from .flame_head import FLAMEHead

__all__ = ['FLAMEHead']
