# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An mmagic restorer in front of a trained reconstructor.

The crops of the faces are restored, not the whole frames: the network sees
nothing else, and the work does not grow with the frame.
"""

import math
import os
import warnings

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from mmtvface.models.encoders import RestoredEncoder, load_restorer
from mmtvface.registry import MODELS
from mmtvface.utils.assets import require_file
from mmtvface.utils.deps import require_temporal

SMALLEST = 64
"""Side of the crops in pixels that the flow networks of mmagic ask for."""
MULTIPLE = 4
"""What networks of other kinds want the side to be divisible by."""
_REMEDY = ('Give the config of a video restorer of mmagic, such as '
         'mmagic::basicvsr_pp/basicvsr-pp_c64n7_8xb1-600k_reds4.py.')


def build_restorer(config: str | os.PathLike,
                   checkpoint: str | os.PathLike) -> nn.Module:
    """Build the generator of an mmagic config with its weights.

    Args:
        config: Config file, or ``mmagic::`` and the path of a config of the
            installed mmagic below its ``configs``.
        checkpoint: Its weights, see
            :func:`mmtvface.models.encoders.load_restorer`.

    Returns:
        In evaluation mode, without gradients: (n, t, 3, h, w) ->
        (n, t, 3, H, W), RGB in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the config of a restorer that sees RGB in
            [0, 1], or the weights do not fit.
    """
    name = os.fspath(config)
    if name.startswith('mmagic::'):
        require_temporal(f'The restorer {name}')
        # Imports all of mmengine's training
        from mmengine.hub import get_config
        settings = get_config(name)
    else:
        settings = Config.fromfile(
            require_file(config, 'Config of the restorer', _REMEDY))
    model = settings.get('model', {})
    if 'generator' not in model:
        raise ValueError(f'{name} is no config of a restorer: it has no '
                         f'model.generator. {_REMEDY}')
    scaling = model.get('data_preprocessor', dict(mean=0, std=255))
    # those that mmagic's preprocessor has by itself
    mean, std = (scaling.get(key, 127.5) for key in ('mean', 'std'))
    if np.any(np.array(mean) != 0) or np.any(np.array(std) != 255):
        raise ValueError(
            f'{name}: the restorer must see RGB in [0, 1] (mean 0, std 255), '
            f'but its data_preprocessor has mean {mean} and std {std}. '
            f'{_REMEDY}')
    part = dict(model.generator)
    if '.' not in part['type']:
        part['type'] = f'mmagic.{part["type"]}'
    if part['type'].startswith('mmagic.'):
        require_temporal(f"The restorer {part['type']}")
    if 'spynet_pretrained' in part:
        part['spynet_pretrained'] = None  # the checkpoint has it
    with warnings.catch_warnings():
        # mmagic pulls in packages that complain at import
        warnings.simplefilter('ignore')
        restorer = MODELS.build(part)
    load_restorer(restorer, os.fspath(checkpoint))
    return restorer.requires_grad_(False).eval()


def enlargement(restorer: nn.Module) -> float:
    """How much larger the frames are that a restorer returns.

    Raises:
        ValueError: If it does not turn clips into clips.
    """
    clip = next(restorer.parameters()).new_zeros(1, 1, 3, SMALLEST, SMALLEST)
    try:
        with torch.inference_mode():
            shape = restorer(clip).shape
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'{type(restorer).__name__} cannot restore clips (n, t, 3, h, '
            f'w): {error}. {_REMEDY}') from error
    if len(shape) != 5 or shape[:3] != clip.shape[:3]:
        raise ValueError(
            f'{type(restorer).__name__} makes {tuple(shape)} of a clip '
            f'{tuple(clip.shape)}, but every frame is needed. {_REMEDY}')
    return shape[-1] / SMALLEST


def put_in_front(restorer: nn.Module, model: nn.Module,
                 image_size: int) -> int:
    """Let a reconstructor see restored crops from now on.

    Args:
        restorer: See :func:`build_restorer`.
        model: Whose ``encoder`` is replaced.
        image_size: Side of the crops that it was trained on, in pixels.

    Returns:
        Side of the crops to cut from the frames: restored, they are at
        least as large as ``image_size``, to which they are reduced.

    Raises:
        ValueError: If the restorer does not turn clips into clips.
    """
    device = next(model.parameters()).device
    restorer = restorer.to(device)
    side = image_size / enlargement(restorer) / MULTIPLE
    model.encoder = RestoredEncoder(
        restorer, model.encoder, image_size=image_size).eval()
    return max(SMALLEST, MULTIPLE * math.ceil(side))
