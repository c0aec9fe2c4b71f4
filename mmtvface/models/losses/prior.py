# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Priors on the codes: small coefficients, white light, a plausible jaw.

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


def jaw_angles(jaw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Opening and roll of the jaw as Euler angles.

    $R = R_z(roll) R_y(yaw) R_x(opening)$, from the quaternion of the rotation
    vector, whose formulas have no singularity at rest (roll and opening are
    degenerate only at a yaw of 90 degrees).

    Args:
        jaw: (B, 3) rotation vectors, radians.

    Returns:
        Opening about x (positive opens) and roll about z, each (B,) radians.
    """
    half = ((jaw.square().sum(-1, keepdim=True) + 1e-16).sqrt()) / 2
    # sin(a / 2) / a, by sinc so that the rest pose is regular.
    x, y, z = (jaw * torch.sinc(half / torch.pi) / 2).unbind(-1)
    w = half.cos().squeeze(-1)
    opening = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    roll = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return opening, roll


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


@MODELS.register_module()
class JawPriorLoss(FaceLoss):
    r"""Keeps the jaw from rolling and from closing through the upper lip.

    $$
    \frac{F}{2} \operatorname{mean}_b \big(w_r\, \rho_b^2
    + w_c \max(0, -\omega_b)^2\big)
    $$

    with the roll $\rho$ and the opening $\omega$ of :func:`jaw_angles`, and
    $F$ = ``REFERENCE_FRAMES``.

    Args:
        loss_weight: Factor of the whole.
        roll_weight: 100 in the published training.
        close_weight: 10 in the published training.
    """


    def __init__(self,
                 loss_weight: float = 1.0,
                 roll_weight: float = 100.0,
                 close_weight: float = 10.0) -> None:
        super().__init__(loss_weight)
        self.roll_weight = roll_weight
        self.close_weight = close_weight

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss."""
        opening, roll = jaw_angles(outputs.codes['pose'][:, 3:])
        energy = (self.roll_weight * roll.square() +
                  self.close_weight * (-opening).relu().square())
        return REFERENCE_FRAMES * energy.mean() / 2
