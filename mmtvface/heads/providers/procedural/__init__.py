# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head: a license-free, generated model in FLAME's layout.

Everything is made by code from average measures of adult heads
(:mod:`.anatomy`); no scan or mesh is shipped. It serves tests, synthetic data
and users who may not use a licensed model.
"""

from .cache import BuiltInHead, procedural_head, save_procedural_head
from .expression import FULL_ACTIVATION
from .head import ProceduralHead, generate_head

__all__ = [
    'FULL_ACTIVATION', 'BuiltInHead', 'ProceduralHead', 'generate_head',
    'procedural_head', 'save_procedural_head'
]
