# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From jaw pose, expression and detail code to a displacement map."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

_CHANNELS = (128, 128, 64, 64, 32, 16)


def join_inputs(decoder: nn.Module, jaw: torch.Tensor,
                expression: torch.Tensor, detail: torch.Tensor
                ) -> torch.Tensor:
    """(B, num_condition + num_detail) of what a decoder is given.

    Args:
        decoder: With ``num_condition`` and ``num_detail``.
        jaw: (B, 3) axis-angle, radians.
        expression: (B, num_condition - 3).
        detail: (B, num_detail).

    Raises:
        ValueError: If a shape is another one.
    """
    check_shape('jaw', jaw, ('B', 3))
    check_shape('expression', expression,
                (len(jaw), decoder.num_condition - 3))
    check_shape('detail', detail, (len(jaw), decoder.num_detail))
    return torch.cat([jaw, expression, detail], 1)


@MODELS.register_module()
class DetailDecoder(BaseModule):
    """Displacement map of a face, animated by its expression.

    A linear layer makes a map of 128 channels; five times it is enlarged
    (bilinear) and convolved; tanh and ``max_displacement`` bound the result
    (DECA, Feng et al., SIGGRAPH 2021, section 4.2, F_d). Parameter names are
    the published ones, ``l1.0`` and ``conv_blocks.{0,2,3,6,...,21}``.

    Args:
        num_detail: Length of the detail code, which holds the person.
        num_condition: Length of jaw pose (3) and expression code, which move
            the wrinkles.
        size: Side S of the map, a multiple of 32.
        max_displacement: Bound in metres; 0.01 in DECA, 0.001 in the
            temporal one.
        norm_eps: Added to the variances of the inner norm layers. The
            published 0.8 is far above the variance of activations at the
            start, so that they are hardly normalised and fade from layer to
            layer; from scratch, 1e-5 learns many times faster. It belongs to
            the weights: converted ones need 0.8.
        init_cfg: See mmengine's ``BaseModule``.

    Raises:
        ValueError: If the size is not possible.
    """

    def __init__(self,
                 num_detail: int = 128,
                 num_condition: int = 53,
                 size: int = 256,
                 max_displacement: float = 0.01,
                 norm_eps: float = 0.8,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if size < 32 or size % 32:
            raise ValueError('DetailDecoder: size must be a multiple of 32, '
                             f'but it is {size}.')
        self.num_detail = num_detail
        self.num_condition = num_condition
        self.size = size
        self.max_displacement = max_displacement
        self.start = size // 32
        first = _CHANNELS[0]
        self.l1 = nn.Sequential(
            nn.Linear(num_condition + num_detail, first * self.start**2))
        layers: list[nn.Module] = [nn.BatchNorm2d(first)]
        for before, after in zip(_CHANNELS[:-1], _CHANNELS[1:], strict=True):
            layers += [
                nn.Upsample(scale_factor=2, mode='bilinear'),
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after, norm_eps),
                nn.LeakyReLU(0.2, inplace=True)
            ]
        layers.append(nn.Conv2d(_CHANNELS[-1], 1, 3, padding=1))
        self.conv_blocks = nn.Sequential(*layers)

    def forward(self, jaw: torch.Tensor, expression: torch.Tensor,
                detail: torch.Tensor) -> torch.Tensor:
        """Decode the displacement.

        Args:
            jaw: (B, 3) axis-angle, radians.
            expression: (B, num_condition - 3).
            detail: (B, num_detail).

        Returns:
            (B, 1, S, S) metres along the normal, within
            ``+-max_displacement``.

        Raises:
            ValueError: If a shape is another one.
        """
        x = self.l1(join_inputs(self, jaw, expression, detail))
        x = self.conv_blocks(x.view(len(x), -1, self.start, self.start))
        return self.max_displacement * x.tanh()
