# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""ICT-FaceKit Light as a head in the layout of FLAME.

The kit (Li et al., "Learning Formation of Physically-Based Face Attributes",
CVPR 2020) is under the MIT license; nothing of it is part of this package.
"""

from .convert import IctHead, convert_kit, head_albedo, save_head
from .kit import IctKit, read_kit
from .layout import ICT_LIGHT, IctLayout

__all__ = [
    'ICT_LIGHT', 'IctHead', 'IctKit', 'IctLayout', 'convert_kit',
    'head_albedo', 'read_kit', 'save_head'
]
