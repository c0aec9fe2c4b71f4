# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Losses on displacement maps: priors, and the distance to a known one."""


import torch
import torch.nn.functional as F

from mmtvface.models.outputs import DetailOutputs
from mmtvface.models.targets import DetailTargets
from mmtvface.registry import MODELS

from .base_loss import REFERENCE_FRAMES, FaceLoss, first_copy

# Side of the maps for which the published weights were chosen, texels.
_REFERENCE_SIZE = 256


def shading_roughness(shading: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of neighbours in x plus the same in y.

    Args:
        shading: (B, C, S, S); the outermost rows do not count in x, the
            outermost columns not in y.

    Returns:
        ().
    """
    dx = shading[..., 1:-1, 1:] - shading[..., 1:-1, :-1]
    dy = shading[..., 1:, 1:-1] - shading[..., :-1, 1:-1]
    return dx.square().mean() + dy.square().mean()


def hidden_texels(visibility: torch.Tensor, width: int = 5) -> torch.Tensor:
    """Texels that are not seen or close to such a one.

    The complement of the binary erosion of what is seen by a square.

    Args:
        visibility: (B, 1, S, S), seen where it is not 0; beyond the border
            nothing is seen.
        width: Side of the square, texels, odd.

    Returns:
        (B, 1, S, S) 0 or 1, without graph.
    """
    margin = width // 2
    hidden = F.pad((visibility == 0).to(visibility.dtype), (margin, ) * 4,
                   value=1.)
    # The maximum over a square is one over rows of one over columns.
    return F.max_pool2d(
        F.max_pool2d(hidden, (1, width), 1), (width, 1), 1)


def hidden_asymmetry(displacement: torch.Tensor,
                     hidden: torch.Tensor) -> torch.Tensor:
    """Sum over hidden texels of the distance to the other side of the face.

    Gradients flow to the hidden side only: the other one is a constant.

    Args:
        displacement: (c * B, 1, S, S) metres, UV map symmetric left to right.
        hidden: (B, 1, S, S) 0..1, the same for every copy.

    Returns:
        () metres times texels, mean over the c * B frames.
    """
    mirrored = displacement.detach().flip(-1)
    difference = (displacement - mirrored).abs()
    weighted = difference.unflatten(0, (-1, len(hidden))) * hidden
    return weighted.sum() / len(displacement)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over frames and mask; 0 if the mask is empty.

    Args:
        values: (B, 1, h, w).
        mask: (1, 1, h, w) 0..1.

    Returns:
        ().
    """
    area = mask.sum() * len(values)
    return (values * mask).sum() / area.clamp(min=1e-8)


def displacement_errors_mm(
        pred: torch.Tensor, target: torch.Tensor,
        mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of two displacement maps and of their slopes.

    Args:
        pred: (B, 1, S, S) metres.
        target: (B, 1, S, S) metres.
        mask: (1, 1, S, S) 0..1, where they are compared.

    Returns:
        Mean |pred - target| in millimetres, and mean |difference of the x
        slopes| + mean |difference of the y slopes| in millimetres per texel
        of a map of 256 texels, so that it does not depend on S. Slopes
        between neighbours count by the product of their masks.
    """
    error = (pred - target) * 1000
    per_texel = pred.shape[-1] / _REFERENCE_SIZE
    slopes = sum(
        _masked_mean(error.diff(dim=dim).abs() * per_texel,
                     mask.narrow(dim, 1, mask.shape[dim] - 1)
                     * mask.narrow(dim, 0, mask.shape[dim] - 1))
        for dim in (-1, -2))
    return _masked_mean(error.abs(), mask), slopes


@MODELS.register_module()
class DisplacementPriorLoss(FaceLoss):
    """Mean absolute displacement: no detail without evidence.

    Args:
        loss_weight: Factor of the loss (which is in metres), 0.005 in the
            published training.
    """


    def __init__(self, loss_weight: float = 0.005) -> None:
        super().__init__(loss_weight)

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss in metres."""
        return outputs.displacement.abs().mean()


@MODELS.register_module()
class ShadingSmoothnessLoss(FaceLoss):
    """Smooth shading of the detailed surface in the UV map.

    Args:
        loss_weight: Factor of the loss, 0.005 in the published training.
    """


    def __init__(self, loss_weight: float = 0.005) -> None:
        super().__init__(loss_weight)

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss, see :func:`shading_roughness`."""
        return shading_roughness(outputs.uv_shading)


@MODELS.register_module()
class DetailSymmetryLoss(FaceLoss):
    """What is not seen looks like the other side of the face.

    DECA, Feng et al., SIGGRAPH 2021, section 4.2 (soft symmetry). The
    published loss is a sum over the batch and the 256 x 256 texels; here it
    is the mean over the frames times ``REFERENCE_FRAMES``, and maps of S
    texels count (256 / S)^2: the same value there, and independent of both.

    Args:
        loss_weight: Factor of the loss, 0.005 in the published training.
        erosion: Side of the square by which the seen region shrinks, texels.

    Raises:
        ValueError: If the side is not odd and positive.
    """


    def __init__(self, loss_weight: float = 0.005, erosion: int = 5) -> None:
        super().__init__(loss_weight)
        if erosion < 1 or erosion % 2 == 0:
            raise ValueError('DetailSymmetryLoss: erosion must be odd and '
                             f'positive, but it is {erosion}.')
        self.erosion = erosion

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss, see :func:`hidden_asymmetry`."""
        displacement = outputs.displacement
        seen = first_copy(targets.uv_visibility, outputs)
        scale = REFERENCE_FRAMES * (_REFERENCE_SIZE /
                                    displacement.shape[-1])**2
        return scale * hidden_asymmetry(displacement,
                                        hidden_texels(seen, self.erosion))


@MODELS.register_module()
class DisplacementLoss(FaceLoss):
    """Distance to the true displacement, for data that has it.

    Inside the face-and-eyes mask, in millimetres: mean |d| +
    ``gradient_weight`` * (mean |d_x| + mean |d_y|), where d is the error of
    the map and d_x, d_y are its differences from texel to texel (of a map of
    256). Wrinkles are a small part of the displacement and most of its
    slopes, on which shading depends.

    Args:
        loss_weight: Factor of the loss (which is in millimetres).
        gradient_weight: Factor of the slopes.

    Raises:
        ValueError: If the factor is negative.
    """


    def __init__(self,
                 loss_weight: float = 1.0,
                 gradient_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if not gradient_weight >= 0:
            raise ValueError('DisplacementLoss: gradient_weight must not be '
                             f'negative, but it is {gradient_weight}.')
        self.gradient_weight = gradient_weight

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss in millimetres.

        Raises:
            ValueError: If the maps differ in size.
        """
        pred, target = outputs.displacement, targets.displacement
        if pred.shape != target.shape:
            raise ValueError(
                f'DisplacementLoss: maps of {tuple(pred.shape)} are '
                f'predicted, but the data has {tuple(target.shape)}; make '
                "the data's maps as large as the surface of the model.")
        error, slopes = displacement_errors_mm(pred, target,
                                               outputs.face_mask_uv)
        return error + self.gradient_weight * slopes


def normal_difference(pred: torch.Tensor, target: torch.Tensor,
                      mask: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of unit normals inside a mask.

    Args:
        pred: (B, 3, S, S), any length but zero inside the mask.
        target: (B, 3, S, S), likewise.
        mask: (1, 1, S, S) 0..1.

    Returns:
        () in 0..4, 2 (1 - cos) of the angles; 0 for an empty mask.
    """
    squared = (F.normalize(pred, dim=1, eps=1e-6)
               - F.normalize(target, dim=1, eps=1e-6)).square()
    total = mask.sum().clamp(min=1e-6) * len(pred)
    return (squared.sum(1, keepdim=True) * mask).sum() / total


@MODELS.register_module()
class NormalLoss(FaceLoss):
    """Distance to the normals of the true surface, for data that has it.

    The true head (vertices and displacement) is moved rigidly onto the
    predicted one. Unlike :class:`DisplacementLoss` it also asks the detail to
    mend the coarse shape, as far as the displacement reaches.

    Args:
        loss_weight: Factor of the loss.
    """


    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss, see :func:`normal_difference`."""
        return normal_difference(outputs.uv_normals,
                                 targets.uv_normals,
                                 outputs.face_mask_uv)
