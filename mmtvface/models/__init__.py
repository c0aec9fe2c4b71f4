# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Encoders, heads, losses, reconstructors, parts for restorers."""

from . import encoders, heads, losses, reconstructors, restorers

__all__ = ['encoders', 'heads', 'losses', 'reconstructors', 'restorers']
