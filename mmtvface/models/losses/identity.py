# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Identity loss: the shaded face must be recognised as the input."""

import os

import torch
from torch.nn import functional as F

from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

from .base_loss import FrozenNetworkLoss, first_copy
from .vggface2_resnet import (
    VGGFace2ResNet50,
    load_vggface2_weights,
    vggface2_input,
)


@MODELS.register_module()
class IdentityLoss(FrozenNetworkLoss):
    r"""1 - cosine of face embeddings of the overlay and the input.

    $$
    1 - \frac{\langle f(I_o), f(I) \rangle}
    {\lVert f(I_o) \rVert\, \lVert f(I) \rVert}
    $$

    The overlay is the input with the face region replaced by the render,
    whose albedo and light are constants: the loss acts on the shape only
    (DECA, Feng et al., SIGGRAPH 2021, section 4.1). The network is frozen,
    stays in evaluation mode and is not part of checkpoints (100 MB that
    every user of the loss has anyway).

    Args:
        weights: Path of ``resnet50_ft_weight.pkl`` (VGGFace2) or of what
            the converter made of it.
        loss_weight: Factor of the loss, 0.2 in the published training.

    Raises:
        FileNotFoundError: If the weights are absent.
        ValueError: If they do not belong to the network.
    """


    def __init__(self,
                 weights: str | os.PathLike,
                 loss_weight: float = 0.2) -> None:
        network = VGGFace2ResNet50()
        network.load_weights(load_vggface2_weights(weights))
        super().__init__(network, loss_weight)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Face embeddings.

        Args:
            images: (B, 3, H, W) RGB [0, 1].

        Returns:
            (B, 2048).
        """
        return self.network(vggface2_input(images))

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss in 0..2, mean over the frames."""
        with torch.no_grad():
            goal = self.embed(first_copy(targets.images, outputs))
        goal = goal.repeat(outputs.num_copies, 1)
        pred = self.embed(outputs.overlay_images)
        return (1 - F.cosine_similarity(pred, goal, dim=1)).mean()
