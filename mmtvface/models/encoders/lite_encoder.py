# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Temporal encoder for small machines: propagation on deep features."""

from collections.abc import Mapping, Sequence

import torch

from mmtvface.registry import MODELS

from .checkpointing import run_blocks
from .flow import Flows
from .gated_propagation import DIRECTIONS, GatedPropagation, Memory
from .resnet_encoder import ResNetEncoder, has_pretrained_init


@MODELS.register_module()
class LiteTemporalEncoder(ResNetEncoder):
    """A single-frame encoder with a temporal adapter between its stages.

    The residual network of DECA, with :class:`GatedPropagation` over the
    frames behind one of its first stages, where maps have a stride of 8 or
    16 (:class:`TemporalResNet` propagates at stride 2, which is what nearly
    all of its work goes into). At the start the adapter changes nothing: the
    encoder equals the :class:`ResNetEncoder` of the same weights, whose
    checkpoints it takes (``load_from`` of a single-frame model).

    A detail branch shares everything up to and with the adapter through
    :class:`SharedTrunkEncoder`.

    Args:
        depth: 18, 34, 50 or 101.
        base_channels: Width of the first stage, 64 in the published nets.
        propagation_stage: 1 to 4: the stage whose maps (stride 4, 8, 16, 32)
            the adapter works on. The later, the less work, and the sooner it
            learns to average over frames; a detail branch that shares the
            maps wants 2 or 3.
        propagation_channels: Channels of its branches.
        branches: See :class:`GatedPropagation`.
        order: See :class:`GatedPropagation`.
        input_norm: None (DECA), ``'imagenet'`` or dict(mean=, std=).
        pretrained: See :class:`ResNetEncoder`; the adapter stays at its
            start.
        pool_size: Side of the grid of averages; see :class:`TemporalResNet`.
        with_cp: See :class:`ResNetEncoder`; the adapter is small enough to
            keep.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: Length of a feature vector.
        trunk_channels: Channels of the maps behind the adapter.
        causal: Whether :meth:`step` may be used.

    Raises:
        ValueError: If an option is not possible.
    """

    _new_parts = ('temporal.', )

    def __init__(self,
                 depth: int = 50,
                 base_channels: int = 64,
                 propagation_stage: int = 2,
                 propagation_channels: int = 128,
                 branches: Sequence[str] = DIRECTIONS,
                 order: int = 2,
                 input_norm: str | Mapping | None = None,
                 pretrained: str | None = None,
                 pool_size: int = 1,
                 with_cp: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(
            depth, base_channels, input_norm=input_norm,
            pretrained=pretrained, pool_size=pool_size, with_cp=with_cp,
            init_cfg=init_cfg)
        if propagation_stage not in (1, 2, 3, 4):
            raise ValueError('propagation_stage must be 1 to 4, but it is '
                             f'{propagation_stage}.')
        self.propagation_stage = propagation_stage
        last = self._stages[propagation_stage - 1][-1]
        # the last convolution of a residual block makes its channels
        conv = last.conv3 if hasattr(last, 'conv3') else last.conv2
        self.trunk_channels = conv.out_channels
        self.temporal = GatedPropagation(
            self.trunk_channels, propagation_channels, branches, order)

    @property
    def causal(self) -> bool:
        """Whether no frame depends on a later one."""
        return self.temporal.causal

    def init_weights(self) -> None:
        """Run ``init_cfg``, load ``pretrained``; the adapter starts at zero.

        A ``Pretrained`` entry of ``init_cfg`` is a whole encoder and wins.
        """
        first = not self.is_init
        super().init_weights()
        if first and not has_pretrained_init(self.init_cfg):
            self.temporal.init_zero()

    def _frame_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Maps before the adapter: (n, t, 3, H, W) -> (n * t, C, h, w)."""
        x = super().trunk(images)
        for stage in self._stages[:self.propagation_stage]:
            x = run_blocks(stage, x, self.with_cp)
        return x

    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps behind the adapter.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1], H and W at least 32.
            flows: Not used.

        Returns:
            (n * t, trunk_channels, h, w).
        """
        maps = self._frame_maps(clips).unflatten(0, clips.shape[:2])
        return self.temporal(maps).flatten(0, 1)

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """Remaining stages and average: (B, C, h, w) -> (B, out_channels)."""
        for stage in self._stages[self.propagation_stage:]:
            maps = run_blocks(stage, maps, self.with_cp)
        return self.pool(maps).flatten(1)

    def step(self, frames: torch.Tensor, state: list[Memory] | None = None
             ) -> tuple[torch.Tensor, list[Memory]]:
        """The next frame of streams, in constant time and memory.

        Args:
            frames: (n, 3, H, W) RGB in [0, 1]: the next frame of n streams.
            state: What the call for the frame before returned; None starts.

        Returns:
            (n, out_channels), equal to what a call with the whole clip gives
            for this frame (in evaluation mode), and the state.

        Raises:
            RuntimeError: If a branch runs backward.
        """
        maps, state = self.temporal.step(
            self._frame_maps(frames[:, None]), state)
        return self.stages(maps), state
