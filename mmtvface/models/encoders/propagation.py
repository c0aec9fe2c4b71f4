# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Second-order grid propagation over a clip, on the blocks of mmagic.

BasicVSR++: Chan et al., CVPR 2022 (propagation: sec. 3.1, alignment:
sec. 3.2). Importing this module imports mmagic, which takes many seconds;
hence only the constructor of a temporal model imports it.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import is_distributed
from torch import nn

from .checkpointing import checkpointed, run_blocks
from .deform_conv import DEFORM_OPS, deform_conv
from .flow import Flows

with warnings.catch_warnings():
    # mmagic pulls in diffusers and transformers, which complain at import
    warnings.simplefilter('ignore', FutureWarning)
    if not hasattr(np, 'bool8'):
        np.bool8 = np.bool_  # NumPy 2 dropped it, mmagic 1.2.0 names it
    from mmagic.models.archs import ResidualBlockNoBN
    from mmagic.models.editors.basicvsr.basicvsr_net import (
        ResidualBlocksWithInputConv,
        SPyNet,
    )
    from mmagic.models.editors.basicvsr_plusplus_net import (
        basicvsr_plusplus_net as plusplus,
    )
    from mmagic.models.utils import default_init_weights, flow_warp, make_layer
    from mmcv.cnn import build_norm_layer

__all__ = ['SPyNet', 'SecondOrderPropagation', 'residual_blocks',
           'restore_special_init']

BRANCHES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')


class NormedResidualBlock(nn.Module):
    """Conv, norm, ReLU, conv, plus the identity.

    mmagic's ``ResidualBlockNoBN`` with a norm layer after the first
    convolution; same initialisation (Kaiming, scaled by 0.1).

    Args:
        mid_channels: Channels in and out.
        norm_cfg: Norm layer as for mmcv's ``build_norm_layer``.
    """

    def __init__(self, mid_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(mid_channels, mid_channels, 3, 1, 1)
        self.bn = build_norm_layer(norm_cfg, mid_channels)[1]
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(mid_channels, mid_channels, 3, 1, 1)
        self.init_weights()

    def init_weights(self) -> None:
        """Start close to the identity."""
        for conv in (self.conv1, self.conv2):
            default_init_weights(conv, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, C, h, w) to the same shape."""
        residue = self.conv2(self.relu(self.bn(self.conv1(x))))
        # A convolution does not keep its result: no need for a third map.
        if residue.dtype == x.dtype:
            return residue.add_(x)
        return x + residue


def residual_blocks(channels: int, num_blocks: int,
                    norm_cfg: dict | None) -> nn.Sequential:
    """Stack residual blocks, those of mmagic where there is no norm."""
    if norm_cfg is None:
        return make_layer(ResidualBlockNoBN, num_blocks,
                          mid_channels=channels)
    return make_layer(NormedResidualBlock, num_blocks, mid_channels=channels,
                      norm_cfg=norm_cfg)


class InputConvResidualBlocks(ResidualBlocksWithInputConv):
    """mmagic's residual blocks with input convolution, norm optional.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of blocks and output.
        num_blocks: Number of residual blocks.
        norm_cfg: Norm layer of the blocks, or None.
    """

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int,
                 norm_cfg: dict | None = None) -> None:
        super().__init__(in_channels, out_channels, num_blocks=0)
        self.main[2] = residual_blocks(out_channels, num_blocks, norm_cfg)


class SecondOrderAlignment(plusplus.SecondOrderDeformableAlignment):
    """mmagic's second-order alignment that runs on any device.

    Offsets are residues to the flows (Chan et al., CVPR 2022, eq. 5 and 6).

    Args:
        *args: Of mmagic's module.
        deform_op: See :func:`deform_conv`.
        **kwargs: Of mmagic's module.
    """

    def __init__(self, *args: int, deform_op: str = 'auto',
                 **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        if deform_op not in DEFORM_OPS:
            raise ValueError(f'deform_op must be one of {DEFORM_OPS}, but it '
                             f'is {deform_op!r}.')
        self.deform_op = deform_op

    def forward(self, x: torch.Tensor, extra_feat: torch.Tensor,
                flow_1: torch.Tensor, flow_2: torch.Tensor) -> torch.Tensor:
        """Align the two last features to the current frame.

        Args:
            x: (n, 2C, h, w) last and last but one feature.
            extra_feat: (n, 3C, h, w) warped last, current, warped last but
                one.
            flow_1: (n, 2, h, w) pixels (x, y), current to last frame.
            flow_2: (n, 2, h, w) current to last but one.

        Returns:
            (n, C, h, w).
        """
        out = self.conv_offset(torch.cat([extra_feat, flow_1, flow_2], 1))
        *residues, mask = out.chunk(3, 1)
        # The first half of the residues moves x's first C channels. Offsets
        # are (y, x), flows (x, y).
        residues = torch.cat(residues, 1).chunk(2, 1)
        offset = torch.cat([
            self.max_residue_magnitude * residue.tanh() +
            flow.flip(1).repeat(1,
                                residue.shape[1] // 2, 1, 1)
            for residue, flow in zip(residues, (flow_1, flow_2), strict=True)
        ], 1)
        return deform_conv(x, offset, mask.sigmoid(), self, self.deform_op)


def restore_special_init(module: nn.Module) -> None:
    """Set again what a generic initialisation must not overwrite.

    Zero offset convolutions (training starts from the flows alone) and
    residual blocks close to the identity.
    """
    for part in module.modules():
        if isinstance(part, (NormedResidualBlock, ResidualBlockNoBN)):
            part.init_weights()
        elif isinstance(part, SecondOrderAlignment):
            part.init_weights()
            part.init_offset()


def check_branches(branches: Sequence[str]) -> None:
    """Raise unless branches have different names that say where they run.

    Raises:
        ValueError: Naming what was given.
    """
    if not branches or len(set(branches)) < len(branches) or not all(
            name.startswith(('backward', 'forward')) for name in branches):
        raise ValueError("branches must have different names that begin with "
                         f"'backward' or 'forward', but they are {branches}.")


def warp(features: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Sample (n, C, h, w) at pixel + flow (n, 2, h, w), zero outside.

    In the flow's precision: half-precision coordinates are off by up to
    0.4 pixels.
    """
    return flow_warp(features.to(flow.dtype), flow.permute(0, 2, 3, 1))


class SecondOrderPropagation(nn.Module):
    """Four branches of second-order propagation and their fusion.

    Branches run backward, forward, backward, forward in time; each sees the
    frame's feature, the features of all earlier branches and its own aligned
    last two (Chan et al., CVPR 2022, eq. 1 to 3). The fusion of all five
    replaces the up-sampler of the super-resolution network.

    Args:
        channels: Channels of all features.
        num_blocks: Residual blocks per branch.
        num_fusion_blocks: Residual blocks of the fusion.
        norm_cfg: Norm layer of the residual blocks, None as in BasicVSR++.
        deform_groups: Deformable groups; a divisor of ``2 * channels``.
        max_residue_magnitude: Largest offset residue in pixels.
        deform_op: See :func:`deform_conv`.
        with_alignment: Without, the last feature is taken as it is, at the
            same pixel.
        with_cp: Recompute activations in the backward pass: less memory,
            a third more time.
        branches: Names of the branches in their order; each begins with
            ``backward`` or ``forward``. ``('forward_1', )`` alone is causal.
        order: Earlier outputs of a branch that are aligned: 2, or 1 for
            first-order propagation (the alignment sees zeros instead).

    Raises:
        ValueError: If a branch's name or the order is not possible.
    """

    def __init__(self,
                 channels: int = 64,
                 num_blocks: int = 5,
                 num_fusion_blocks: int = 5,
                 norm_cfg: dict | None = None,
                 deform_groups: int = 16,
                 max_residue_magnitude: float = 10,
                 deform_op: str = 'auto',
                 with_alignment: bool = True,
                 with_cp: bool = False,
                 branches: Sequence[str] = BRANCHES,
                 order: int = 2) -> None:
        super().__init__()
        if order not in (1, 2):
            raise ValueError(f'order must be 1 or 2, but it is {order}.')
        check_branches(branches)
        self.with_cp = with_cp
        self.order = order
        self.backbone = nn.ModuleDict({
            name: InputConvResidualBlocks((2 + i) * channels, channels,
                                          num_blocks, norm_cfg)
            for i, name in enumerate(branches)
        })
        self.fusion = InputConvResidualBlocks(
            (1 + len(branches)) * channels, channels, num_fusion_blocks,
            norm_cfg)
        self.deform_align = nn.ModuleDict({
            name: SecondOrderAlignment(
                2 * channels, channels, 3, padding=1,
                deform_groups=deform_groups,
                max_residue_magnitude=max_residue_magnitude,
                deform_op=deform_op)
            for name in branches
        }) if with_alignment else None

    def forward(self, features: torch.Tensor,
                flows: Flows | None) -> torch.Tensor:
        """Exchange information between the frames of each clip.

        Args:
            features: (n, t, C, h, w), t >= 1.
            flows: Forward and backward flows as of :func:`estimate_flows`
                at h x w, or None for zero flows.

        Returns:
            (n, t, C, h, w).
        """
        n, t = features.shape[:2]
        known = [list(features.unbind(1))]
        for name in self.backbone:
            order = list(range(t))
            # steps[k]: flow from the k-th frame visited to the one before
            steps = [None] * t
            if name.startswith('backward'):
                order.reverse()
                if flows is not None:
                    steps[1:] = flows[1].flip(1).unbind(1)
            elif flows is not None:
                steps[1:] = flows[0].unbind(1)
            known.append(self._propagate(name, known, order, steps))
        # frame by frame, in each all features side by side
        stacked = torch.stack([x[i] for i in range(t) for x in known], 1)
        fused = run_blocks(
            self.fusion.main,
            stacked.view(n * t, -1, *stacked.shape[-2:]), self.with_cp)
        if t == 1 and self.deform_align is not None and is_distributed():
            # A single frame is aligned to nothing, but distributed training
            # waits for a gradient of every parameter.
            fused = fused + sum(
                0 * p.sum() for p in self.deform_align.parameters())
        return fused.unflatten(0, (n, t))

    def _propagate(self, name: str, known: Sequence[Sequence[torch.Tensor]],
                   order: Sequence[int],
                   steps: Sequence[torch.Tensor | None]
                   ) -> list[torch.Tensor]:
        """Run one branch; results in the order of the frames."""
        outputs: dict[int, torch.Tensor] = {}
        for k, index in enumerate(order):
            args = ([x[index] for x in known],
                    [outputs[i]
                     for i in order[max(k - self.order, 0):k][::-1]],
                    steps[max(k + 1 - self.order, 1):k + 1][::-1])
            if self.with_cp:
                outputs[index] = checkpointed(self.backbone[name],
                                              self._step, name, *args)
            else:
                outputs[index] = self._step(name, *args)
        return [outputs[i] for i in range(len(order))]

    def _step(self, name: str, current: Sequence[torch.Tensor],
              last: Sequence[torch.Tensor],
              flows: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """One frame of one branch.

        Args:
            name: The branch.
            current: The frame's feature and those of earlier branches.
            last: Up to two outputs of this branch, the newest first.
            flows: As many: current to last frame, last to last but one.
        """
        if not last:
            carried = torch.zeros_like(current[0])
        elif self.deform_align is None:
            carried = last[0]
        else:
            carried = self._align(name, current[0], last, flows)
        residue = self.backbone[name](torch.cat([*current, carried], 1))
        return carried + residue

    def _align(self, name: str, current: torch.Tensor,
               last: Sequence[torch.Tensor],
               flows: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """Align the last one or two features to the current frame."""
        first = last[0]
        second = last[1] if len(last) > 1 else torch.zeros_like(first)
        n, _, height, width = current.shape
        if flows[0] is None:
            flow_1 = flow_2 = current.new_zeros(n, 2, height, width)
            guides = [first, current, second]
        else:
            flow_1 = flows[0]
            flow_2 = torch.zeros_like(flow_1)
            guide_2 = second
            if len(last) > 1:
                flow_2 = flow_1 + warp(flows[1], flow_1)
                guide_2 = warp(second, flow_2)
            guides = [warp(first, flow_1), current, guide_2]
        return self.deform_align[name](
            torch.cat([first, second], 1), torch.cat(guides, 1), flow_1,
            flow_2)
