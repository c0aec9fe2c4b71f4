# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where heads come from: one file or folder for each type of ``head``."""

from . import flame, procedural

__all__ = ['flame', 'procedural']
