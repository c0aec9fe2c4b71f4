# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Single-frame image encoder: the residual network of DECA."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .checkpointing import run_blocks
from .clip_encoder import ClipEncoder
from .flow import Flows
from .pretrained import load_part, read_state_dict


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016).

    The parts are named as in torchvision's networks, so that their weights
    load. Not theirs: importing torchvision takes a second at every start.

    Args:
        in_channels: Channels that enter.
        planes: Channels that leave.
        stride: Of the first convolution, 1 or 2.
        downsample: The shortcut; None: the input itself.
    """

    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int = 1,
                 downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut.

    The stride is that of the 3x3 convolution, as in torchvision.

    Args:
        in_channels: Channels that enter.
        planes: Width inside; ``4 * planes`` channels leave.
        stride: 1 or 2.
        downsample: The shortcut; None: the input itself.
    """

    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int = 1,
                 downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, 4 planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


RESNET_LAYOUTS: dict[int, tuple[type, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}
IMAGENET_NORM = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class InputNorm(nn.Module):
    """Channel-wise ``(x - mean) / std`` of RGB images in [0, 1].

    Args:
        mean: Per channel, RGB.
        std: Per channel, RGB, positive.

    The constants are no part of the state dict, so checkpoints with and
    without the option have the same names.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError('input_norm needs three means and three '
                             f'positive stds, but got {mean} and {std}.')
        for name, value in (('mean', mean), ('std', std)):
            self.register_buffer(
                name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise (..., 3, H, W)."""
        return (images - self.mean) / self.std


def build_input_norm(input_norm: str | Mapping | None) -> nn.Module:
    """Make the input normalisation of an encoder.

    Args:
        input_norm: None (as DECA: images in [0, 1]), ``'imagenet'``, or a
            dict of ``mean`` and ``std``.

    Raises:
        ValueError: If it is something else.
    """
    if input_norm is None:
        return nn.Identity()
    if input_norm == 'imagenet':
        return InputNorm(**IMAGENET_NORM)
    if isinstance(input_norm, Mapping) and set(input_norm) == {'mean', 'std'}:
        return InputNorm(**input_norm)
    raise ValueError("input_norm must be None, 'imagenet' or "
                     f'dict(mean=..., std=...), but it is {input_norm!r}.')


def residual_block(kind: type, in_channels: int, planes: int,
                   stride: int = 1) -> nn.Module:
    """A block with the shortcut that its sizes need.

    Args:
        kind: ``BasicBlock`` or ``Bottleneck``.
        in_channels: Channels that enter.
        planes: Width; ``planes * kind.expansion`` channels leave.
        stride: 1 or 2.
    """
    out_channels = planes * kind.expansion
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels))
    return kind(in_channels, planes, stride, shortcut)


def resnet_stages(depth: int, in_channels: int,
                  base_channels: int) -> tuple[list[nn.Sequential], int]:
    """Make layers 1 to 4 of a residual network (He et al., CVPR 2016).

    Named like torchvision's networks.
    The first stage keeps the resolution, the others halve it.

    Args:
        depth: 18, 34, 50 or 101.
        in_channels: Channels of the features that enter the first stage.
        base_channels: Width of the first stage; 64 is the published one,
            smaller values make networks for small machines.

    Returns:
        The four stages and the number of output channels.

    Raises:
        ValueError: If the depth or a width is not possible.
    """
    if depth not in RESNET_LAYOUTS:
        raise ValueError(f'depth must be one of {sorted(RESNET_LAYOUTS)}, but '
                         f'it is {depth}.')
    if in_channels < 1 or base_channels < 1:
        raise ValueError('The widths of a residual network must be positive, '
                         f'but they are {in_channels} and {base_channels}.')
    block, counts = RESNET_LAYOUTS[depth]
    stages = []
    for index, count in enumerate(counts):
        planes = base_channels << index
        out_channels = planes * block.expansion
        blocks = [residual_block(
            block, in_channels, planes, 1 if index == 0 else 2)]
        blocks += [block(out_channels, planes) for _ in range(count - 1)]
        stages.append(nn.Sequential(*blocks))
        in_channels = out_channels
    for stage in stages:
        init_resnet_convs(stage)
    return stages, in_channels


def init_resnet_convs(module: nn.Module) -> None:
    """Kaiming fan-out initialisation of all convolutions, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(
                part.weight, mode='fan_out', nonlinearity='relu')


def has_pretrained_init(init_cfg: Mapping | Sequence | None) -> bool:
    """Whether an ``init_cfg`` loads a checkpoint."""
    configs = [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or []
    return any(config.get('type') == 'Pretrained' for config in configs)


@MODELS.register_module()
class ResNetEncoder(ClipEncoder):
    """Single-frame encoder of DECA (Feng et al., SIGGRAPH 2021, sec. 4.1).

    7x7/2 convolution, batch norm, ReLU, 3x3/2 max-pool, four residual
    stages, global average. The names below this module are torchvision's
    (``conv1``, ``bn1``, ``layer1`` to ``layer4``), which are also those of
    the published DECA encoder below its prefix ``encoder.``.

    Deviation: the published encoder pools a fixed 7x7 window; here the
    average is global. At 224x224 the two are the same.

    Args:
        depth: 18, 34, 50 (DECA) or 101.
        base_channels: Width of the first stage, 64 in the published nets.
        input_norm: None (DECA), ``'imagenet'`` or dict(mean=, std=).
        pretrained: torchvision-style weights of the same depth and width: a
            local path or a URL, read by :meth:`init_weights` only. A
            classifier (``fc``) in the file is left out.
        pool_size: Side of the grid of averages that becomes the feature
            vector; 1 (DECA) is the global average. See
            :class:`TemporalResNet`.
        with_cp: Compute the activations of the residual blocks again in the
            backward pass: less memory for long clips, more time.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: Length of a feature vector (2048 for ResNet-50).
        trunk_channels: ``base_channels``.
    """

    # Beginnings of names that pretrained weights do not have.
    _new_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self,
                 depth: int = 50,
                 base_channels: int = 64,
                 input_norm: str | Mapping | None = None,
                 pretrained: str | None = None,
                 pool_size: int = 1,
                 with_cp: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.with_cp = with_cp
        if pool_size < 1:
            raise ValueError('pool_size must be at least 1, but it is '
                             f'{pool_size}.')
        self.pretrained = pretrained
        self.input_norm = build_input_norm(input_norm)
        stages, channels = resnet_stages(depth, base_channels, base_channels)
        self.pool = nn.AdaptiveAvgPool2d(pool_size)
        self.out_channels = channels * pool_size**2
        self.trunk_channels = base_channels
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, 3, bias=False)
        init_resnet_convs(self.conv1)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    @property
    def _stages(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def init_weights(self) -> None:
        """Run ``init_cfg``, then load ``pretrained``.

        A ``Pretrained`` entry of ``init_cfg`` is a whole encoder and wins.
        """
        first = not self.is_init
        super().init_weights()
        if (first and self.pretrained is not None
                and not has_pretrained_init(self.init_cfg)):
            load_part(
                self,
                read_state_dict(self.pretrained, 'ResNet weights'),
                self.pretrained,
                optional=[name for name in self.state_dict()
                          if name.startswith(self._new_parts)],
                ignored=('fc.', ))

    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps behind the max-pool, every frame on its own.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1], H and W at least 32.
            flows: Not used.

        Returns:
            (n * t, base_channels, H / 4, W / 4), sizes rounded up.

        Raises:
            ValueError: If the shape is another one.
        """
        check_shape('clips', clips, ('n', 't', 3, 'H', 'W'))
        height, width = clips.shape[-2:]
        if min(height, width) < 32:
            raise ValueError('Frames must be at least 32x32 pixels for this '
                             f'encoder, but they are {height}x{width}.')
        x = self.input_norm(clips.flatten(0, 1))
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """Residual stages and average: (B, C, h, w) -> (B, out_channels)."""
        for stage in self._stages:
            maps = run_blocks(stage, maps, self.with_cp)
        return self.pool(maps).flatten(1)
