# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Photometric loss: the rendered face against the input."""


import torch

from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

from .base_loss import FaceLoss

# A face that covers less of the image than this fades out instead of being
# scaled up: a handful of edge pixels says little about a face.
_MIN_COVERAGE = 0.01


def photometric_error(rendered: torch.Tensor,
                      images: torch.Tensor,
                      mask: torch.Tensor,
                      divide_by: str = 'image') -> torch.Tensor:
    r"""Mean absolute colour difference inside a mask, frame by frame.

    $$
    \frac{1}{3 A} \sum_{x} m(x)\, \lVert I_r(x) - I(x) \rVert_1
    $$

    with the render $I_r$, the image $I$, the mask $m$ and the area $A$ of
    ``divide_by`` in pixels. The published code takes the mean of
    $m_s\, |m_r I_r - I|$, which adds the constant $|I|$ where the segmentation
    $m_s$ is on and the render $m_r$ is off. Here ``mask`` is
    where both are on, so the constant is gone; its gradient was zero.

    Args:
        rendered: (B, 3, H, W) RGB.
        images: (B, 3, H, W) RGB [0, 1].
        mask: (B, 1, H, W) 0..1, taken as a constant.
        divide_by: ``'image'``: mean over all pixels, the scale for which the
            published weight 2.0 was chosen. ``'mask'``: over the pixels of
            the mask (at least 1 % of the image), equal for near and far
            faces and some three times larger in usual crops.

    Returns:
        () mean over the frames; frames with an empty mask count as 0.
    """
    mask = mask.detach()
    difference = ((rendered - images).abs() * mask).sum((1, 2, 3))
    pixels = mask.shape[-2] * mask.shape[-1]
    if divide_by == 'mask':
        area = mask.sum((1, 2, 3)).clamp(min=_MIN_COVERAGE * pixels)
    else:
        area = float(pixels)
    return (difference / (3 * area)).mean()


@MODELS.register_module()
class PhotometricLoss(FaceLoss):
    """Colour difference of the rendered face and the input image.

    Args:
        loss_weight: Factor of the loss, 2.0 in the published training.
        mask: ``'segmentation'``: rendered face region where the skin
            segmentation ``masks`` of the data is also on, so that hands,
            hair and microphones do not paint the face. Without masks in the
            data it equals ``'rendered'``: the rendered face region alone
            (mesh pixels inside the face-and-eyes region of the UV map).
        divide_by: See :func:`photometric_error`.

    Raises:
        ValueError: If an option is unknown.
    """


    def __init__(self,
                 loss_weight: float = 2.0,
                 mask: str = 'segmentation',
                 divide_by: str = 'image') -> None:
        super().__init__(loss_weight)
        for name, value, known in (('mask', mask, ('segmentation',
                                                   'rendered')),
                                   ('divide_by', divide_by, ('mask',
                                                             'image'))):
            if value not in known:
                raise ValueError(f'PhotometricLoss: {name} must be one of '
                                 f'{known}, but it is {value!r}.')
        self.mask = mask
        self.divide_by = divide_by

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`photometric_error`."""
        mask = outputs.face_mask
        if self.mask == 'segmentation' and targets.masks is not None:
            mask = mask * targets.masks
        return photometric_error(outputs.rendered_images,
                                 targets.images, mask, self.divide_by)
