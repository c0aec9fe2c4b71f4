# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Weights of published systems under the names of mmtvface.

The modules ``deca``, ``basicvsrpp``, ``spynet`` and ``vggface2`` are pure
mappings of names and tensors; ``jobs`` converts files and proves the result
by loading it.
"""

from .mapping import ConversionError, Rule, convert_tensors
from .report import ConversionReport, TensorRecord

__all__ = [
    'ConversionError', 'ConversionReport', 'Rule', 'TensorRecord',
    'convert_tensors'
]
