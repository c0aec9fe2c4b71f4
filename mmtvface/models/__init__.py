# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Encoders, heads, losses and the reconstructors made of them."""

from . import encoders, heads, losses, reconstructors

__all__ = ['encoders', 'heads', 'losses', 'reconstructors']
