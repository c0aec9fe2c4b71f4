# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Decoders: from codes to displacement maps."""

from .basis_detail_decoder import BasisDetailDecoder
from .detail_decoder import DetailDecoder

__all__ = ['BasisDetailDecoder', 'DetailDecoder']
