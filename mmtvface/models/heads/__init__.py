# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Heads: from features to codes, from codes to displacements."""

from .basis_detail_decoder import BasisDetailDecoder
from .detail_decoder import DetailDecoder
from .detail_head import DetailHead
from .flame_head import FLAMEHead

__all__ = ['BasisDetailDecoder', 'DetailDecoder', 'DetailHead', 'FLAMEHead']
