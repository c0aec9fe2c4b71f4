# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An image or video restorer in front of an encoder."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .clip_encoder import ClipEncoder
from .flow import Flows
from .pretrained import load_restorer


@MODELS.register_module()
class RestoredEncoder(ClipEncoder):
    """Encode low-resolution clips after restoring them.

    Any network that maps clips to clips will do, such as
    ``dict(type='mmagic.BasicVSRPlusPlusNet')``, which enlarges four times
    and wants 64x64 pixels or more. To its surroundings this module is an
    encoder, so a config mixes the two by inheritance alone. A detail branch
    gets the restored clips too, which are computed once. Checkpoints of a
    model with the encoder alone can be loaded, for example of its pretraining
    on large crops.

    Args:
        restorer: Module (n, t, 3, h, w) -> (n, t, 3, H, W), RGB in [0, 1]
            both, or its config.
        encoder: The encoder, for example ``TemporalResNet``, or its config.
        image_size: (H, W) or one number: what the encoder sees; restored
            frames of another size are resized (bilinear, anti-aliased).
            None leaves them as they are.
        freeze_restorer: The restorer stays as it is and gets no gradients.
            False trains it with the encoder, by the same losses
            (RealBasicVSR then needs ``is_sequential_cleaning=False``: the
            other way of cleaning has no gradients).
        restorer_pretrained: Weights of the restorer, see
            :func:`mmtvface.models.encoders.load_restorer`: a local path or
            URL, read by :meth:`init_weights` only.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: The encoder's.
        trunk_channels: The encoder's.
        with_flow: The encoder's.
        with_landmarks: The encoder's.
        close_looks: The encoder's.
    """

    def __init__(self,
                 restorer: dict | nn.Module,
                 encoder: dict | nn.Module,
                 image_size: int | tuple[int, int] | None = None,
                 freeze_restorer: bool = True,
                 restorer_pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        with warnings.catch_warnings():
            # mmagic pulls in packages that complain at import
            warnings.simplefilter('ignore', FutureWarning)
            self.restorer = _built(restorer)
        self.encoder = _built(encoder)
        self.out_channels = self.encoder.out_channels
        # Encoders that cannot share their trunk will do, too.
        shared = self.encoder if isinstance(
            self.encoder, ClipEncoder) else ClipEncoder
        self.trunk_channels = shared.trunk_channels
        self.with_flow = shared.with_flow
        self.with_landmarks = shared.with_landmarks
        self.close_looks = shared.close_looks
        if isinstance(image_size, int):
            image_size = (image_size, image_size)
        self.image_size = image_size and tuple(image_size)
        self.freeze_restorer = freeze_restorer
        self.restorer_pretrained = restorer_pretrained
        if freeze_restorer:
            self.restorer.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> 'RestoredEncoder':
        """Set the mode; a frozen restorer stays in evaluation mode."""
        super().train(mode)
        if self.freeze_restorer:
            self.restorer.eval()
        return self

    def init_weights(self) -> None:
        """Initialise both parts, then load ``restorer_pretrained``."""
        first = not self.is_init
        super().init_weights()
        if first and self.restorer_pretrained is not None:
            load_restorer(self.restorer, self.restorer_pretrained)

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor],
                              prefix: str, *args: Any) -> None:
        own = (f'{prefix}encoder.', f'{prefix}restorer.')
        for key in list(state_dict):
            if key.startswith(prefix) and not key.startswith(own):
                inner = f'{own[0]}{key[len(prefix):]}'
                state_dict[inner] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def restore(self, clips: torch.Tensor) -> torch.Tensor:
        """Restore clips (n, t, 3, h, w) to what the encoder sees.

        Returns:
            (n, t, 3, H, W) RGB in [0, 1].

        Raises:
            ValueError: If a shape is another one.
        """
        check_shape('clips', clips, ('n', 't', 3, 'h', 'w'))
        with torch.set_grad_enabled(torch.is_grad_enabled()
                                    and not self.freeze_restorer):
            # A copy: RealBasicVSR may clean its input in place.
            restored = self.restorer(clips.clone()).clamp(0, 1)
            check_shape('the restored clips', restored,
                        (*clips.shape[:3], 'H', 'W'))
            if self.image_size in (None, tuple(restored.shape[-2:])):
                return restored
            resized = F.interpolate(
                restored.flatten(0, 1),
                self.image_size,
                mode='bilinear',
                align_corners=False,
                antialias=True)
            return resized.unflatten(0, clips.shape[:2])

    def prepare(self, clips: torch.Tensor) -> torch.Tensor:
        """See :meth:`restore`."""
        return self.restore(clips)

    def compute_flows(self, clips: torch.Tensor) -> Flows | None:
        """Flows of restored clips (n, t, 3, H, W)."""
        return self.encoder.compute_flows(clips)

    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps of restored clips (n, t, 3, H, W)."""
        return self.encoder.trunk(clips, flows)

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """See the encoder."""
        return self.encoder.stages(maps)

    def forward(self, clips: torch.Tensor,
                flows: Flows | None = None) -> torch.Tensor:
        """Encode low-resolution clips.

        Args:
            clips: (n, t, 3, h, w) RGB in [0, 1].
            flows: Between the restored frames, see the encoder.

        Returns:
            (n, t, out_channels).
        """
        given = () if flows is None else (flows, )
        return self.encoder(self.restore(clips), *given)


def _built(part: dict | nn.Module) -> nn.Module:
    return part if isinstance(part, nn.Module) else MODELS.build(part)
