# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""ID-MRF loss: the shaded UV map has the features of the input's texture.

Its distance of two sets of patches asks for the same variety in both.

Implicit diversified Markov random fields: Wang et al., "Image Inpainting via
Generative Multi-column Convolutional Neural Networks", NeurIPS 2018, after
Mechrez et al., "The Contextual Loss", ECCV 2018. Every target patch wants a
generated patch that resembles it more than it resembles the other targets.

With $c_{ij}$ the cosine of generated patch $i$ and target patch $j$, and
$d = (1 - c) / 2$:

$$
r_{ij} = \frac{d_{ij}}{\min_j d_{ij} + \epsilon}, \quad
s_{ij} = \frac{\exp((1 - r_{ij}) / \sigma)}
{\sum_j \exp((1 - r_{ij}) / \sigma)}, \quad
D = -\ln \operatorname{mean}_j \max_i s_{ij}
$$

All factors of a row that do not depend on $j$ cancel, so $s_i$ is the softmax
over $j$ of $h_i c_{ij}$ with
$h_i = 1 / (\sigma (1 - \max_j c_{ij} + 2 \epsilon))$. It is $1 / M$ at least
where $j$ is the nearest target, hence the logarithm is finite.

Only the rows that are the maximum of some column have a gradient. With
$u_i = \sum_j s_{ij} t_j$ (which is computed with $s_i$ at hand), $J_i$ the
columns that $i$ wins, $p_i$ and $S_i$ the sums over $J_i$ of $s_{ij} t_j$ and
$s_{ij}$, and $n_i$ the nearest target, the gradient of $D$ with respect to the
unit vector $g_i$ is

$$
-\frac{h_i v_i + \sigma h_i^2 (g_i \cdot v_i)\, n_i}{\sum_j \max_i s_{ij}},
\quad v_i = p_i - S_i u_i
$$

so that no N x M matrix has to be kept, nor computed a second time.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from mmtvface.models.outputs import DetailOutputs
from mmtvface.models.targets import DetailTargets
from mmtvface.registry import MODELS

from .base_loss import REFERENCE_FRAMES, FrozenNetworkLoss, first_copy
from .photo_detail import FACE_BOX, check_box, uv_patch
from .vgg_features import VGG19Features, load_vgg19_weights

# Style at both layers and content at the second, which are the same term.
_LAYERS = dict(relu3_2=1.0, relu4_2=2.0)
SIGMA = 0.5
EPSILON = 1e-5
# Squared length of a feature vector that has no direction.
_NO_LENGTH = 1e-12
# Entries of the similarity matrix that exist at a time: what a CPU's cache
# holds, and what keeps a GPU busy.
_CPU_ENTRIES = 2**21
_GPU_ENTRIES = 2**26


class _GivenGradient(torch.autograd.Function):
    """Values per item whose gradient came along with them."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, values: torch.Tensor,
                gradient: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gradient)
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        gradient, = ctx.saved_tensors
        shape = (-1, ) + (1, ) * (gradient.dim() - 1)
        return grad.view(shape) * gradient, None, None


def with_gradient(inputs: torch.Tensor, values: torch.Tensor,
                  gradient: torch.Tensor) -> torch.Tensor:
    """Connect values to the inputs by a gradient that is known already.

    Args:
        inputs: (B, ...) that has a graph.
        values: (B,), item b computed from ``inputs[b]`` alone.
        gradient: (B, ...) of ``values[b]`` with respect to ``inputs[b]``.

    Returns:
        (B,) values; can be differentiated once.
    """
    return _GivenGradient.apply(inputs, values, gradient)


def unit_vectors(features: torch.Tensor) -> torch.Tensor:
    """Features of all positions, scaled to length 1.

    Deviation: vectors shorter than 1e-6 become 0, with gradient 0; the
    published code divides by zero there.

    Args:
        features: (B, C, h, w).

    Returns:
        (B, h * w, C).
    """
    vectors = features.flatten(2).mT
    squared = vectors.square().sum(-1, keepdim=True)
    defined = squared > _NO_LENGTH
    return vectors * (torch.where(defined, squared, 1.).rsqrt() * defined)


def patch_distance(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Distance of the patches of each item, see the module's description.

    Args:
        pred: (B, C, h, w) features, not negative or otherwise.
        target: (B, C, h, w) features, taken as constants; the mean of its
            channels is subtracted from both, position by position.

    Returns:
        (B,) in 0..2 log(h w); can be differentiated once.
    """
    target = target.detach()
    center = target.mean(1, keepdim=True)
    goals = unit_vectors(target - center)
    units = unit_vectors(pred - center)
    if not (torch.is_grad_enabled() and units.requires_grad):
        return _distance(units.detach(), goals, False)[0]
    values, gradient = _distance(units.detach(), goals, True)
    return with_gradient(units, values, gradient)


@torch.no_grad()
def _distance(units: torch.Tensor, goals: torch.Tensor, gradient: bool
              ) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Distance of unit vectors and its gradient.

    Args:
        units: (B, N, C) generated.
        goals: (B, M, C) wanted.
        gradient: Whether to compute it.

    Returns:
        (B,) and (B, N, C) or None.
    """
    batch, count, _ = units.shape
    others = goals.shape[1]
    entries = _CPU_ENTRIES if units.device.type == 'cpu' else _GPU_ENTRIES
    rows = max(1, entries // (batch * others))
    best = units.new_zeros(batch, others)
    winner = torch.zeros_like(best, dtype=torch.long)
    pulls, slopes, nearest = [], [], []
    for start in range(0, count, rows):
        cosine = torch.bmm(units[:, start:start + rows], goals.mT)
        top, index = cosine.max(2, keepdim=True)
        # Rounding may exceed 1, which would change the sign of the slope.
        slope = 1 / (SIGMA * (1 - top.clamp(max=1) + 2 * EPSILON))
        share = cosine.sub_(top).mul_(slope).softmax(2)
        column = share.amax(1)
        # NaN is better than nothing: it must not get lost.
        better = ~(column <= best)
        best = torch.where(better, column, best)
        if gradient:
            # Few columns improve after the first rows; searching only those
            # is several times faster than the maximum with its index.
            winner[better] = start + share.mT[better].argmax(1)
            pulls.append(torch.bmm(share, goals))
            slopes.append(slope)
            nearest.append(index)
    total = best.sum(1)
    values = -(total / others).log()
    if not gradient:
        return values, None
    slope, nearest = torch.cat(slopes, 1), torch.cat(nearest, 1)
    channels = winner[..., None].expand_as(goals)
    won = torch.zeros_like(slope).scatter_add_(1, winner[..., None],
                                               best[..., None])
    pull = torch.zeros_like(units).scatter_add_(1, channels,
                                                best[..., None] * goals)
    pull.addcmul_(won, torch.cat(pulls, 1), value=-1)
    along = SIGMA * slope.square() * (units * pull).sum(2, keepdim=True)
    pull.mul_(slope).addcmul_(
        along, goals.gather(1, nearest.expand_as(units)))
    return values, pull.div_(-total[:, None, None])


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

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss."""
        copies = outputs.num_copies
        with torch.no_grad():
            seen, goal = (
                uv_patch(first_copy(maps, outputs), self.box,
                         self.patch_size)
                for maps in (targets.uv_visibility, targets.uv_images))
            goal = goal * seen
        pred = uv_patch(outputs.uv_images, self.box, self.patch_size)
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
