# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""ResNet-50 of VGGFace2 and the loader of its published weights.

VGGFace2: Cao et al., FG 2018. The network comes from Caffe: the stride of a
bottleneck sits on its first 1x1 convolution and pooling rounds up without
padding. The weights, ``resnet50_ft_weight.pkl`` or ``resnet50_scratch_*.pkl``,
are a pickled dictionary name -> NumPy array under torchvision's names;
``tools/model_converters/vggface2_to_mmtvface.py`` makes a file of tensors of
it.
"""

import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmtvface.models.encoders.resnet_encoder import resnet_stages
from mmtvface.utils.assets import require_file
from mmtvface.utils.host_sync import constant
from mmtvface.utils.safe_pickle import load_pickle
from mmtvface.utils.safe_torch import load_torch

# Mean of the training images, BGR 0..255.
MEAN_BGR = (91.4953, 103.8827, 131.0912)
INPUT_SIZE = 224
_MARGIN = 10
_DOWNLOAD = ('Request the VGGFace2 ResNet-50 weights (ftp/resnet50_ft) from '
             'the authors of the data set, or leave IdentityLoss out of the '
             'losses of the configuration.')


class VGGFace2ResNet50(nn.Module):
    """ResNet-50 with Caffe's strides; embeds faces in 2048 numbers.

    The classifier is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages, _ = resnet_stages(50, 64, 64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for layer in (self.layer2, self.layer3, self.layer4):
            layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) as :func:`vggface2_input` makes them -> (B, 2048)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy the published weights.

        Args:
            weights: Name -> array; the classifier's are ignored.

        Raises:
            ValueError: If an entry is missing, unknown or has another shape.
        """
        own = {
            name: value
            for name, value in self.state_dict().items()
            if not name.endswith('num_batches_tracked')
        }
        given = {
            name: torch.from_numpy(np.array(value, dtype=np.float32))
            for name, value in weights.items()
            if not name.startswith('fc.')
            and not name.endswith('num_batches_tracked')
        }
        if missing := sorted(set(own) - set(given)):
            raise ValueError(
                f'{len(missing)} of {len(own)} entries of the VGGFace2 '
                f'ResNet-50 are missing in the weights: {missing[:3]}... Is '
                'it resnet50_ft_weight.pkl?')
        for name, value in given.items():
            if name not in own or value.shape != own[name].shape:
                expected = (tuple(own[name].shape)
                            if name in own else 'no such entry')
                raise ValueError(
                    f"VGGFace2 ResNet-50 weights: '{name}' is "
                    f'{tuple(value.shape)}, expected {expected}.')
        self.load_state_dict(given, strict=False)


def load_vggface2_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights without running code from the file.

    Args:
        path: ``resnet50_ft_weight.pkl`` or the converted ``.pth``.

    Returns:
        Name -> array.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a dictionary of arrays.
    """
    what = 'VGGFace2 ResNet-50 weights'
    path = require_file(path, what, _DOWNLOAD)
    with open(path, 'rb') as file:
        is_archive = file.read(4) == b'PK\x03\x04'
    if is_archive:  # what torch.save writes
        weights = load_torch(path, what, _DOWNLOAD)
        if isinstance(weights, Mapping):
            weights = weights.get('state_dict', weights)
        if isinstance(weights, Mapping):
            weights = {
                name: value.numpy()
                if isinstance(value, torch.Tensor) else value
                for name, value in weights.items()
            }
    else:
        weights = load_pickle(path, what, _DOWNLOAD)
    if not isinstance(weights, dict) or not all(
            isinstance(value, np.ndarray) for value in weights.values()):
        raise ValueError(f'{path} does not hold a dictionary of arrays.')
    return weights


def vggface2_input(images: torch.Tensor) -> torch.Tensor:
    """Prepare images as the published identity loss does.

    BGR * 255 minus the mean; a margin of 10 pixels (of 224) is cropped; x *
    2 - 1; bilinear resize to 224. The last affine map is odd after the
    subtraction of the mean, but the released models were trained with it.

    Args:
        images: (B, 3, H, W) RGB [0, 1].

    Returns:
        (B, 3, 224, 224).
    """
    height, width = images.shape[-2:]
    mean = constant(MEAN_BGR, images)[:, None, None]
    pixels = images.flip(1) * 255 - mean
    dy = round(_MARGIN * height / INPUT_SIZE)
    dx = round(_MARGIN * width / INPUT_SIZE)
    pixels = pixels[..., dy:height - dy, dx:width - dx]
    return F.interpolate(
        pixels * 2 - 1, (INPUT_SIZE, INPUT_SIZE),
        mode='bilinear',
        align_corners=False)
