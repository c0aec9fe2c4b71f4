# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An image or video restorer in front of an encoder."""

import warnings

import torch
import torch.nn.functional as F

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .clip_encoder import ClipEncoder
from .flow import Flows
from .pretrained import load_part, read_state_dict, take_prefix


@MODELS.register_module()
class RestoredEncoder(ClipEncoder):
    """Encode low-resolution clips after restoring them.

    Any network that maps clips to clips will do, such as
    ``dict(type='mmagic.BasicVSRPlusPlusNet')``, which enlarges four times
    and wants 64x64 pixels or more. To its surroundings this module is an
    encoder, so a config mixes the two by inheritance alone. A detail branch
    gets the restored clips too, which are computed once.

    Args:
        restorer: Config of a module (n, t, 3, h, w) -> (n, t, 3, H, W), RGB
            in [0, 1] both.
        encoder: Config of the encoder, for example ``TemporalResNet``.
        image_size: (H, W) or one number: what the encoder sees; restored
            frames of another size are resized (bilinear, anti-aliased).
            None leaves them as they are.
        freeze_restorer: The restorer stays as it is and gets no gradients.
        restorer_pretrained: Weights of the restorer, or a checkpoint of
            mmagic whose ``generator`` it is: a local path or URL, read by
            :meth:`init_weights` only.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: The encoder's.
        trunk_channels: The encoder's.
        with_flow: The encoder's.
    """

    def __init__(self,
                 restorer: dict,
                 encoder: dict,
                 image_size: int | tuple[int, int] | None = None,
                 freeze_restorer: bool = True,
                 restorer_pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        with warnings.catch_warnings():
            # mmagic pulls in packages that complain at import
            warnings.simplefilter('ignore', FutureWarning)
            self.restorer = MODELS.build(restorer)
        self.encoder = MODELS.build(encoder)
        self.out_channels = self.encoder.out_channels
        # Encoders that cannot share their trunk will do, too.
        self.trunk_channels = getattr(self.encoder, 'trunk_channels', None)
        self.with_flow = getattr(self.encoder, 'with_flow', False)
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
            state = read_state_dict(self.restorer_pretrained,
                                    'weights of the restorer')
            load_part(
                self.restorer,
                take_prefix(state, 'generator.'),
                self.restorer_pretrained,
                ignored=('step_counter', ))

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
            restored = self.restorer(clips).clamp(0, 1)
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
