# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""ResNet-50 of VGGFace2 (Cao et al., FG 2018) as a file of tensors."""

from collections.abc import Mapping

import numpy as np
import torch

from .mapping import Rule, Tensors, convert_tensors
from .report import ConversionReport


def convert_vggface2(weights: Mapping[str, np.ndarray], expected: Tensors,
                     name: str = 'the file'
                     ) -> tuple[dict[str, torch.Tensor], ConversionReport]:
    """The published arrays as tensors, without the classifier.

    Args:
        weights: Name -> array, as read from ``resnet50_ft_weight.pkl``.
        expected: Tensors of the network by name.
        name: What the file is called in the report and in messages.

    Returns:
        The state dict and the report.

    Raises:
        ConversionError: If they do not belong to the network.
    """
    tensors = {key: torch.from_numpy(np.array(value))
               for key, value in weights.items()}
    rules = [Rule(r'fc\..+', None, 'classifier, no part of the embedding'),
             Rule('(.+)', r'\1')]
    state, records = convert_tensors(tensors, rules, expected, (), name)
    return state, ConversionReport(name, records)
