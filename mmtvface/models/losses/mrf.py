# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""ID-MRF loss: the shaded UV map has the features of the input's texture."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmtvface.registry import MODELS

from .base_loss import REFERENCE_FRAMES, first_copy
from .frozen_network import FrozenNetworkLoss
from .patch_similarity import patch_distance, with_gradient
from .photo_detail import FACE_BOX, check_box, uv_patch
from .vgg_features import VGG19Features, load_vgg19_weights

# Style at both layers and content at the second, which are the same term.
_LAYERS = dict(relu3_2=1.0, relu4_2=2.0)


@MODELS.register_module()
class IDMRFLoss(FrozenNetworkLoss):
    """Distance of the VGG-19 patches of the shaded UV map and the input.

    Sum over layers of weight * :func:`patch_distance` of the patches of
    :func:`uv_patch`, both times the visibility (DECA, Feng et al., SIGGRAPH
    2021, section 4.2). The published loss is a sum over the batch; here it
    is the mean over the frames times ``REFERENCE_FRAMES``.

    Frames are worked off a few at a time, each with its gradient, so that
    the memory does not grow with the batch; features of the input are
    computed once for all copies, and VGG-19 ends with the last layer that is
    needed. The network is frozen and not part of checkpoints.

    Args:
        weights: File with the weights of VGG-19, see
            :func:`load_vgg19_weights`, or ``'random'`` for tests and
            timings: such a loss has no meaning.
        loss_weight: Factor of the loss, 2.0 * 0.05 in the published
            training.
        box: The patch, see :func:`uv_patch`.
        patch_size: Its side after resizing. Time and values depend on it.
        layer_weights: Weight by name of the layer; by default relu3_2: 1 and
            relu4_2: 2 (style and content).
        chunk_size: Frames (with copies) that are worked off at a time, at
            least one of all copies; some 200 MB each at 256 x 256.

    Raises:
        FileNotFoundError: If the weights are absent.
        ValueError: If they do not belong to VGG-19, or an option is wrong.
    """

    requires = ('uv_images', )
    requires_targets = ('uv_images', 'uv_visibility')

    def __init__(self,
                 weights: str | os.PathLike,
                 loss_weight: float = 0.1,
                 box: Sequence[int] = FACE_BOX,
                 patch_size: int = 256,
                 layer_weights: Mapping[str, float] | None = None,
                 chunk_size: int = 4) -> None:
        if weights is None or chunk_size < 1:
            raise ValueError(
                "IDMRFLoss needs the path of VGG-19's weights and a positive "
                f'chunk_size, but has weights={weights!r} and '
                f'chunk_size={chunk_size}; leave the loss out of the '
                'configuration to train without.')
        layer_weights = dict(_LAYERS if layer_weights is None else
                             layer_weights)
        network = VGG19Features(list(layer_weights))
        if weights == 'random':
            network.randomize()
        else:
            network.load_weights(load_vgg19_weights(weights), str(weights))
        super().__init__(network, loss_weight)
        self.layer_weights = layer_weights
        self.box = check_box(box)
        self.patch_size = patch_size
        self.chunk_size = chunk_size

    def distances(self, pred: torch.Tensor,
                  target: torch.Tensor) -> torch.Tensor:
        """Weighted sum over the layers, frame by frame.

        Args:
            pred: (c, B, 3, P, P) masked patches.
            target: (B, 3, P, P) masked patches.

        Returns:
            (c, B).
        """
        with torch.no_grad():
            goals = self.network(target)
        features = self.network(pred.flatten(0, 1))
        terms = [
            weight * patch_distance(
                features[name], goals[name].repeat(len(pred), 1, 1, 1))
            for name, weight in self.layer_weights.items()
        ]
        return torch.stack(terms).sum(0).unflatten(0, pred.shape[:2])

    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted loss."""
        copies = outputs.get('num_copies', 1)
        with torch.no_grad():
            seen, goal = (
                uv_patch(first_copy(targets[key], outputs), self.box,
                         self.patch_size)
                for key in ('uv_visibility', 'uv_images'))
            goal = goal * seen
        pred = uv_patch(outputs['uv_images'], self.box, self.patch_size)
        pred = pred.unflatten(0, (copies, -1)) * seen
        needs_grad = torch.is_grad_enabled() and pred.requires_grad
        values = pred.new_empty(pred.shape[:2])
        gradient = torch.empty_like(pred) if needs_grad else None
        step = max(1, self.chunk_size // copies)
        for start in range(0, len(goal), step):
            part = slice(start, start + step)
            frames = pred[:, part].detach().requires_grad_(needs_grad)
            distances = self.distances(frames, goal[part])
            values[:, part] = distances.detach()
            if needs_grad:
                gradient[:, part], = torch.autograd.grad(
                    distances.sum(), frames)
        if needs_grad:
            values = with_gradient(pred.flatten(0, 1), values.flatten(),
                                   gradient.flatten(0, 1))
        return REFERENCE_FRAMES * values.mean()
