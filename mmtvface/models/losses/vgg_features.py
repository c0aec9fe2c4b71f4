# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Features of VGG-19 (Simonyan and Zisserman, ICLR 2015) for losses."""

import os
import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mmtvface.utils.safe_torch import load_torch

# Mean and standard deviation of ImageNet, RGB [0, 1].
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# Output channels of the convolutions between two poolings.
_BLOCKS = ((64, ) * 2, (128, ) * 2, (256, ) * 4, (512, ) * 4, (512, ) * 4)
# Names as torchvision, mmcv (features) and mmagic (vgg_layers) write them,
# alone or within another network.
_ENTRY = re.compile(
    r'(?:^|\.)(?:features|vgg_layers)\.(\d+)\.(weight|bias)$')
_REMEDY = (
    'Get it with\n  python -c "import torchvision; torchvision.models.vgg19('
    "weights='IMAGENET1K_V1')\"\nwhich stores vgg19-dcbb9e9d.pth in "
    '~/.cache/torch/hub/checkpoints, or leave the loss out of the '
    'configuration.')


class VGG19Features(nn.Module):
    """VGG-19 up to the last activation that is wanted.

    Works in the channels-last memory format, which takes a quarter less time
    on CPUs than the default one, and overwrites what activations are
    computed from, which halves the memory.

    Args:
        layers: Names such as ``'relu3_2'``: block (1..5) and convolution.

    Raises:
        ValueError: If there is no such layer.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        positions, last = {}, 0
        for block, widths in enumerate(_BLOCKS, 1):
            for number in range(1, len(widths) + 1):
                positions[f'relu{block}_{number}'] = last + 2 * number - 1
            last += 2 * len(widths) + 1
        if not layers or (unknown := set(layers) - set(positions)):
            raise ValueError(
                f'VGG-19 has no layers {sorted(unknown) if layers else []}; '
                f'choose from {list(positions)}.')
        self.positions = {positions[name]: name for name in layers}
        modules, channels = [], 3
        for widths in _BLOCKS:
            for width in widths:
                modules += [nn.Conv2d(channels, width, 3, padding=1,
                                      device='meta'), nn.ReLU(inplace=True)]
                channels = width
            modules.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*modules[:max(self.positions) + 1])
        self.layers.to_empty(device='cpu')
        self.layers.to(memory_format=torch.channels_last)
        for name, values in (('mean', _MEAN), ('std', _STD)):
            self.register_buffer(
                name, torch.tensor(values)[:, None, None], persistent=False)

    @torch.no_grad()
    def randomize(self, seed: int = 0) -> 'VGG19Features':
        """Draw weights that keep the scale of activations; return self.

        They leave the global random state alone.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, value in self.layers.named_parameters():
            if name.endswith('weight'):
                nn.init.kaiming_normal_(
                    value, nonlinearity='relu', generator=generator)
            else:
                value.uniform_(-0.1, 0.1, generator=generator)
        return self

    def load_weights(self, weights: Mapping[str, torch.Tensor],
                     source: str = 'the given weights') -> 'VGG19Features':
        """Copy weights; return self.

        Args:
            weights: ``'N.weight'``, ``'N.bias'`` -> tensor, N the number of
                the layer as in torchvision; those of deeper layers than are
                wanted are ignored.
            source: Where they come from, for messages.

        Raises:
            ValueError: If an entry is missing, unknown or has another shape.
        """
        own = self.layers.state_dict()
        given = {
            name: value
            for name, value in weights.items()
            if int(name.split('.')[0]) < len(self.layers)
        }
        if missing := sorted(set(own) - set(given)):
            raise ValueError(
                f'{len(missing)} of {len(own)} entries of VGG-19 are missing '
                f'in {source}: {missing[:3]}... Expected are names such as '
                f"'features.0.weight' or 'vgg_layers.0.weight'. {_REMEDY}")
        for name, value in given.items():
            if name not in own or value.shape != own[name].shape:
                expected = (tuple(own[name].shape)
                            if name in own else 'no such entry')
                raise ValueError(
                    f"{source}: entry '{name}' is {tuple(value.shape)}, "
                    f'VGG-19 (without batch normalisation) has {expected}. '
                    f'{_REMEDY}')
        self.layers.load_state_dict(given)
        return self

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Activations of the wanted layers.

        Args:
            images: (B, 3, H, W) RGB, 0..1 for the range of photographs.

        Returns:
            Name -> (B, C, H / 2^k, W / 2^k) where block k + 1 has C channels.
        """
        maps = ((images - self.mean) / self.std).contiguous(
            memory_format=torch.channels_last)
        features = {}
        for position, layer in enumerate(self.layers):
            maps = layer(maps)
            if position in self.positions:
                features[self.positions[position]] = maps
        return features


def load_vgg19_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the convolutions of VGG-19 from a file of torch.save.

    Args:
        path: torchvision's or mmcv's weights (``features.N.weight``), those
            of mmagic's ``PerceptualVGG`` (``vgg_layers.N.weight``), or a
            checkpoint of a model that contains either.

    Returns:
        ``'N.weight'``, ``'N.bias'`` -> tensor.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely or contains two different
            networks.
    """
    content = load_torch(path, 'VGG-19 weights', _REMEDY)
    if isinstance(content, Mapping):
        content = content.get('state_dict', content)
    if not isinstance(content, Mapping):
        raise ValueError(f'{path} does not hold a dictionary of tensors, but '
                         f'{type(content).__name__}. {_REMEDY}')
    weights: dict[str, torch.Tensor] = {}
    for name, value in content.items():
        found = _ENTRY.search(str(name))
        if found is None or not isinstance(value, torch.Tensor):
            continue
        key = f'{int(found[1])}.{found[2]}'
        if key in weights and not torch.equal(weights[key], value):
            raise ValueError(f"{path} holds several networks: '{name}' is "
                             f'there twice with other values. {_REMEDY}')
        weights[key] = value
    return weights
