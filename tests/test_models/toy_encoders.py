# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Temporal encoders of milliseconds, shared by the tests of their parts."""
import torch

from mmtvface.models.encoders import TemporalResNet
from mmtvface.models.encoders import propagation as prop

TINY = dict(
    mid_channels=4, depth=18, base_channels=4, num_blocks=1,
    num_extra_blocks=1, deform_groups=2, propagation_stride=4)


def tiny(seed=0, **kwargs):
    torch.manual_seed(seed)
    return TemporalResNet(**{**TINY, **kwargs})


def randomize_alignment(module):
    """Give the zero offset convolutions something to do."""
    for part in module.modules():
        if isinstance(part, prop.SecondOrderAlignment):
            torch.nn.init.normal_(part.conv_offset[-1].weight, std=0.2)
            torch.nn.init.normal_(part.conv_offset[-1].bias, std=0.2)
            torch.nn.init.normal_(part.bias)
    return module
