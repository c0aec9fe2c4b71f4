# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Priors on the codes: small coefficients, white light.

The published training sums code priors over the batch, so that their weight
grows with it; its weights assume 2 clips of 5 frames, doubled by shape
consistency. Here they are means over the frames times
``REFERENCE_FRAMES``: the same value at that batch, and independent of it.
"""


import torch

from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

from .base_loss import REFERENCE_FRAMES, FaceLoss, check_code_name


def code_energy(code: torch.Tensor) -> torch.Tensor:
    r"""Mean over the frames of $\tfrac12 \sum_k c_k^2$.

    Args:
        code: (B, ...) in standard deviations.

    Returns:
        ().
    """
    return code.square().flatten(1).sum(1).mean() / 2


def light_color_spread(light: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the light from its own grey.

    Args:
        light: (B, 9, 3) spherical harmonics coefficients, RGB.

    Returns:
        ().
    """
    return (light - light.mean(-1, keepdim=True)).square().mean()


@MODELS.register_module()
class CodePriorLoss(FaceLoss):
    r"""Gaussian prior on one code.

    $$
    \frac{F}{2} \operatorname{mean}_b \sum_k c_{bk}^2
    $$

    with $F$ = ``REFERENCE_FRAMES``.

    Args:
        name: Code, ``'shape'``, ``'exp'`` or ``'tex'``.
        loss_weight: Factor of the loss, 1e-4 in the published training.

    Raises:
        ValueError: If there is no such code.
    """


    def __init__(self, name: str, loss_weight: float = 1e-4) -> None:
        super().__init__(loss_weight)
        self.name = check_code_name(self, name)

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`code_energy`."""
        return REFERENCE_FRAMES * code_energy(outputs.codes[self.name])


@MODELS.register_module()
class LightPriorLoss(FaceLoss):
    """Keeps the light white, so that skin colour goes into the albedo.

    Args:
        loss_weight: Factor of the loss, 1.0 in the published training.
    """


    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`light_color_spread`."""
        return light_color_spread(outputs.codes['light'])
