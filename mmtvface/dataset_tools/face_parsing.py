# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Skin masks by face parsing: which pixels show skin, and which hair."""

import os

import cv2
import numpy as np
import torch

from mmtvface.utils.deps import require
from mmtvface.utils.safe_torch import load_torch

_INSTALL = "pip install 'facexlib>=0.2.5,<0.4'"
_PURPOSE = 'Masking faces by parsing'
_WHERE = ('https://github.com/xinntao/facexlib/releases/download/v0.2.0/'
          'parsing_bisenet.pth')
_SIDE = 512  # of the network's input, pixels
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)

#: The 19 classes in the order of the network's outputs: the background and
#: those of CelebAMask-HQ (Lee et al., CVPR 2020).
CLASSES: tuple[str, ...] = (
    'background', 'skin', 'left_brow', 'right_brow', 'left_eye', 'right_eye',
    'glasses', 'left_ear', 'right_ear', 'earring', 'nose', 'mouth',
    'upper_lip', 'lower_lip', 'neck', 'necklace', 'cloth', 'hair', 'hat')

#: What counts as skin of the face. Not: eyes, the mouth's interior ('mouth'),
#: glasses, ears and neck (a head model's face region ends before them), hair
#: and everything else.
SKIN: tuple[str, ...] = ('skin', 'left_brow', 'right_brow', 'nose',
                         'upper_lip', 'lower_lip')


class FaceParser:
    """BiSeNet (Yu et al., ECCV 2018) trained on CelebAMask-HQ.

    The network is built by the package facexlib; its weights are read from a
    file (``parsing_bisenet.pth``), never downloaded.

    Args:
        weights: The file.
        device: Where the network runs; default: 'cuda' if there is one,
            else 'cpu'.

    Raises:
        ImportError: If facexlib is not installed.
        FileNotFoundError: If the file is missing; the message says where
            to get it.
        ValueError: If it holds no weights of this network.
    """

    def __init__(self, weights: str | os.PathLike,
                 device: str | torch.device | None = None) -> None:
        bisenet = require('facexlib.parsing.bisenet', _PURPOSE, _INSTALL)
        remedy = f'Download it from {_WHERE}'
        state = load_torch(
            weights, 'weights of BiSeNet (face parsing)', remedy)
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self._device = torch.device(device)
        network = bisenet.BiSeNet(num_class=len(CLASSES))
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            reason = str(error).strip().splitlines()
            raise ValueError(
                f'{os.fspath(weights)} holds no weights of facexlib\'s '
                f'BiSeNet with {len(CLASSES)} classes: '
                f'{" ".join(line.strip() for line in reason[:2])[:300]} '
                f'{remedy}') from error
        self._network = network.eval().to(self._device)
        self._skin = [CLASSES.index(name) for name in SKIN]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Mask the skin of a face.

        Args:
            image: (H, W, 3) uint8 RGB, a crop around one face as in
                CelebAMask-HQ: the head and some margin. It is resized to
                512 x 512; what is not square is padded with black.

        Returns:
            (H, W) uint8, 1 where the skin classes (:data:`SKIN`) are
            together more probable than the rest, else 0.

        Raises:
            ValueError: If it is no colour image.
        """
        return (self.skin_probability(image) > 0.5).astype(np.uint8)

    def skin_probability(self, image: np.ndarray) -> np.ndarray:
        """(H, W) float32 probability of the skin, see :meth:`__call__`."""
        if image.ndim != 3 or image.shape[2] != 3 or (
                image.dtype != np.uint8 or not image.size):
            raise ValueError('image must be (H, W, 3) uint8, but it is '
                             f'{image.shape} {image.dtype}.')
        height, width = image.shape[:2]
        side = max(height, width)
        square = cv2.copyMakeBorder(image, 0, side - height, 0, side - width,
                                    cv2.BORDER_CONSTANT, value=(0, 0, 0))
        scaled = _resize(square, _SIDE).astype(np.float32) / 255
        batch = torch.from_numpy(
            ((scaled - _MEAN) / _STD).transpose(2, 0, 1)[None])
        with torch.inference_mode():
            logits = self._network(batch.to(self._device))[0]
            skin = logits.softmax(1)[0, self._skin].sum(0)
        return _resize(skin.float().cpu().numpy(), side)[:height, :width]


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    shrinks = side < image.shape[0]
    return cv2.resize(image, (side, side), interpolation=(
        cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
