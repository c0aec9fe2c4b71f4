# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Temporal image encoder: grid propagation in front of a ResNet trunk."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape
from mmtvface.utils.deps import require_temporal

from .checkpointing import run_blocks
from .clip_encoder import ClipEncoder
from .flow import Flows, estimate_flows
from .pretrained import (
    load_part,
    load_resnet_stages,
    read_state_dict,
    take_prefix,
)
from .resnet_encoder import (
    build_input_norm,
    has_pretrained_init,
    resnet_stages,
)

TRUNK_STRIDE = 4
SIZE_MULTIPLE = 32
FLOW_MODES = (True, False, 'given')


def check_clip_size(clips: torch.Tensor) -> None:
    """Raise unless clips are (n, t, 3, H, W), H and W multiples of 32.

    Raises:
        ValueError: With the expected and the actual shape.
    """
    check_shape('clips', clips, ('n', 't', 3, 'H', 'W'))
    n, t, _, height, width = clips.shape
    if min(n, t) < 1:
        raise ValueError('clips must hold at least one clip of one frame, '
                         f'but the shape is {tuple(clips.shape)}.')
    if (height % SIZE_MULTIPLE or width % SIZE_MULTIPLE
            or min(height, width) < SIZE_MULTIPLE):
        raise ValueError(
            f'Height and width must be multiples of {SIZE_MULTIPLE}, but the '
            f'frames are {height}x{width}. Crop or resize them, for example '
            'to 224x224.')


@MODELS.register_module()
class TemporalResNet(ClipEncoder):
    """Features of every frame that know the whole clip.

    A 3x3 convolution, residual blocks and a strided convolution (``head``,
    ``down1``), second-order grid propagation with flow-guided deformable
    alignment over the frames (``rnn``; BasicVSR++, Chan et al., CVPR 2022),
    again residual blocks and a strided convolution (``down2``), then batch
    norm, ReLU, the four residual stages of a ResNet and a global average.
    The flows come from SPyNet (Ranjan & Black, CVPR 2017) on the frames
    reduced (bicubic, without anti-aliasing, as in BasicVSR++) to the
    resolution of the propagation.

    Deviations: the global average replaces a 7x7 window (the same at 224);
    the unused 7x7 ``conv1`` of published checkpoints does not exist here.

    Args:
        mid_channels: Channels before the residual stages (64).
        depth: ResNet depth: 18, 34, 50 (published) or 101.
        base_channels: Width of the first residual stage (64).
        num_blocks: Residual blocks of each propagation branch.
        num_extra_blocks: Residual blocks of ``down1``, ``down2`` and the
            fusion of the branches, each.
        propagation_stride: 2 (published) or 4: resolution of the
            propagation relative to the frames. With 4 the first convolution
            halves, and ``down2`` keeps the resolution.
        norm_cfg: Norm layer of the residual blocks around and in the
            propagation; None leaves it out, as BasicVSR++ does.
        deform_groups: Deformable groups; a divisor of ``2*mid_channels``.
        max_residue_magnitude: Largest offset residue in pixels of the
            propagation's resolution.
        deform_op: See :func:`~.deform_conv.deform_conv`.
        with_alignment: False leaves flows and deformable alignment out.
        with_flow: True: SPyNet is a part of the encoder. ``'given'``: it is
            not; the flows that another encoder has computed for the same
            clips are passed to each call. False keeps the alignment but
            starts it from zero flows, for training without SPyNet weights;
            given flows are then ignored.
        spynet_pretrained: SPyNet weights (or a checkpoint of BasicVSR or
            BasicVSR++, which holds them): a local path or URL, read by
            :meth:`init_weights` only.
        freeze_spynet: SPyNet gets no gradients.
        input_norm: None (published), ``'imagenet'`` or dict(mean=, std=);
            SPyNet always sees [0, 1].
        pool_size: Side of the grid of averages that becomes the feature
            vector; 1 (published) is the global average. A larger grid keeps
            where things are in the image, which a narrow net learns to
            encode in its channels only slowly.
        resnet_pretrained: torchvision-style ResNet weights whose ``layer1``
            to ``layer4`` are taken: a local path or URL, read by
            :meth:`init_weights` only.
        with_cp: Compute the activations of the propagation and of all
            residual blocks again in the backward pass: half the memory, a
            quarter more work.
        branches: Branches of the propagation in their order; None: the
            published four. See :class:`SecondOrderPropagation`.
        order: 2 (published), or 1: a frame is aligned to the one before
            only.
        init_cfg: See mmengine's ``BaseModule``. A ``Pretrained`` entry is a
            whole encoder and replaces the two partial ones.

    Attributes:
        out_channels: Length of a feature vector (2048 for ResNet-50).
        trunk_channels: ``mid_channels``.
        with_flow: As given; False without alignment.

    Raises:
        ImportError: If mmagic or mmcv's operators are not installed.
        ValueError: If an option is not possible.
    """

    def __init__(self,
                 mid_channels: int = 64,
                 depth: int = 50,
                 base_channels: int = 64,
                 num_blocks: int = 5,
                 num_extra_blocks: int = 5,
                 propagation_stride: int = 2,
                 norm_cfg: dict | None = dict(type='BN'),  # noqa: B006
                 deform_groups: int = 16,
                 max_residue_magnitude: float = 10,
                 deform_op: str = 'auto',
                 with_alignment: bool = True,
                 with_flow: bool | str = True,
                 spynet_pretrained: str | None = None,
                 freeze_spynet: bool = True,
                 input_norm: str | Mapping | None = None,
                 pool_size: int = 1,
                 resnet_pretrained: str | None = None,
                 with_cp: bool = False,
                 branches: Sequence[str] | None = None,
                 order: int = 2,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if propagation_stride not in (2, 4):
            raise ValueError('propagation_stride must be 2 or 4, but it is '
                             f'{propagation_stride}.')
        if with_alignment and 2 * mid_channels % deform_groups:
            raise ValueError(
                'deform_groups must divide 2 * mid_channels, but they are '
                f'{deform_groups} and 2 * {mid_channels}.')
        if with_alignment and deform_groups % 2:
            raise ValueError(
                'deform_groups must be even: one half of the groups follows '
                'the flow to the last frame, the other that to the one '
                f'before; but it is {deform_groups}.')
        if pool_size < 1:
            raise ValueError(f'pool_size must be at least 1, but it is '
                             f'{pool_size}.')
        if with_flow not in FLOW_MODES:
            raise ValueError(f'with_flow must be one of {FLOW_MODES}, but it '
                             f'is {with_flow!r}.')
        if with_flow != 'given' or not with_alignment:
            with_flow = bool(with_flow and with_alignment)
        self.with_flow = with_flow
        own_flow = self.with_flow is True
        if spynet_pretrained is not None and not own_flow:
            raise ValueError('spynet_pretrained is given, but with_alignment '
                             'and with_flow must both be True to use it.')
        require_temporal('A TemporalResNet')
        # Importing mmagic takes seconds; only temporal models pay for it.
        from . import propagation
        self.propagation_stride = propagation_stride
        self.spynet_pretrained = spynet_pretrained
        self.resnet_pretrained = resnet_pretrained
        self.freeze_spynet = freeze_spynet
        self.with_cp = with_cp

        self.spynet = propagation.SPyNet(None) if own_flow else None
        if own_flow and freeze_spynet:
            self.spynet.requires_grad_(False).eval()
        self.input_norm = build_input_norm(input_norm)

        def down(stride: int) -> nn.Sequential:
            return nn.Sequential(
                propagation.residual_blocks(mid_channels, num_extra_blocks,
                                            norm_cfg),
                nn.Conv2d(mid_channels, mid_channels, 3, stride, 1))

        self.trunk_channels = mid_channels
        self.head = nn.Conv2d(3, mid_channels, 3, propagation_stride // 2, 1)
        self.down1 = down(2)
        self.rnn = propagation.SecondOrderPropagation(
            mid_channels,
            num_blocks,
            num_fusion_blocks=num_extra_blocks,
            norm_cfg=norm_cfg,
            deform_groups=deform_groups,
            max_residue_magnitude=max_residue_magnitude,
            deform_op=deform_op,
            with_alignment=with_alignment,
            with_cp=with_cp,
            branches=propagation.BRANCHES if branches is None else branches,
            order=order)
        self.down2 = down(TRUNK_STRIDE // propagation_stride)
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.relu = nn.ReLU(inplace=True)
        stages, channels = resnet_stages(depth, mid_channels, base_channels)
        self.pool = nn.AdaptiveAvgPool2d(pool_size)
        self.out_channels = channels * pool_size**2
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def train(self, mode: bool = True) -> 'TemporalResNet':
        """Set the mode; a frozen SPyNet stays in evaluation mode."""
        super().train(mode)
        if self.spynet is not None and self.freeze_spynet:
            self.spynet.eval()
        return self

    def init_weights(self) -> None:
        """Run ``init_cfg``, then set what it must not overwrite.

        Zero offset convolutions, residual blocks near the identity, and the
        partial pretrained weights come last.
        """
        first = not self.is_init
        super().init_weights()
        if not first or has_pretrained_init(self.init_cfg):
            return
        from .propagation import restore_special_init
        restore_special_init(self)
        if self.resnet_pretrained is not None:
            load_resnet_stages(self, self.resnet_pretrained)
        if self.spynet_pretrained is not None:
            state = read_state_dict(self.spynet_pretrained, 'SPyNet weights')
            load_part(
                self.spynet,
                take_prefix(state, 'spynet.'),
                self.spynet_pretrained,
                optional=('mean', 'std'))
        elif self.spynet is not None and self.freeze_spynet:
            MMLogger.get_current_instance().warning(
                'TemporalResNet: SPyNet is frozen with random weights unless '
                'a checkpoint is loaded. Give spynet_pretrained=..., or '
                'with_flow=False to learn the alignment without flows.')

    def compute_flows(self, clips: torch.Tensor) -> Flows | None:
        """Flows at the propagation's resolution, both ways.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1].

        Returns:
            Two (n, t - 1, 2, h, w), see :func:`estimate_flows`; None without
            a SPyNet or a second frame.
        """
        check_clip_size(clips)
        if self.spynet is None or clips.shape[1] == 1:
            return None
        small = F.interpolate(
            clips.flatten(0, 1),
            scale_factor=1 / self.propagation_stride,
            mode='bicubic',
            align_corners=False)
        return estimate_flows(self.spynet, small.unflatten(
            0, clips.shape[:2]))

    def _choose_flows(self, clips: torch.Tensor,
                      flows: Flows | None) -> Flows | None:
        n, t, _, height, width = clips.shape
        if not self.with_flow or t == 1:
            return None
        if flows is None:
            if self.with_flow == 'given':
                raise ValueError(
                    "TemporalResNet with with_flow='given' needs the flows "
                    f'of clips of {t} frames: pass compute_flows(clips) of '
                    'the encoder that has a SPyNet, or use with_flow=True.')
            return self.compute_flows(clips)
        stride = self.propagation_stride
        for name, flow in zip(('forward', 'backward'), flows, strict=True):
            check_shape(f'The {name} flows (propagation_stride={stride})',
                        flow, (n, t - 1, 2, height // stride, width // stride))
        return flows

    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps behind the propagation.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1], t >= 1, H and W multiples
                of 32.
            flows: Of :meth:`compute_flows` of this or another encoder of the
                same ``propagation_stride``; None: from the own SPyNet.

        Returns:
            (n * t, mid_channels, H / 4, W / 4).

        Raises:
            ValueError: If a shape is another one, or flows have to be given
                and are not.
        """
        check_clip_size(clips)
        flows = self._choose_flows(clips, flows)
        x = self.head(self.input_norm(clips.flatten(0, 1)))
        x = run_blocks(self.down1, x, self.with_cp)
        x = self.rnn(x.unflatten(0, clips.shape[:2]), flows).flatten(0, 1)
        return self.relu(self.bn1(run_blocks(self.down2, x, self.with_cp)))

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """Residual stages and average: (B, C, h, w) -> (B, out_channels)."""
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = run_blocks(stage, maps, self.with_cp)
        return self.pool(maps).flatten(1)
