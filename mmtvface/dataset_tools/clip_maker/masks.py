# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The mask that goes with a stored frame."""

import numpy as np

from mmtvface.geometry.face_mask import outline_mask

from ..settings import ClipSettings
from .face_run import MaskMaker


def build_mask_maker(settings: ClipSettings) -> MaskMaker:
    """Function that makes the masks of the settings.

    Raises:
        ImportError: If facexlib is needed and not installed.
        FileNotFoundError: If its weights are not there.
    """
    if settings.masks == 'none':
        return lambda crop, points, mesh: None
    if settings.masks == 'outline':
        return lambda crop, points, mesh: outline_mask(
            points, crop.shape[:2], mesh)
    from ..face_parsing import FaceParser
    parser = FaceParser(settings.parsing_weights, settings.device)

    def parse(crop: np.ndarray, points: np.ndarray,
              mesh: np.ndarray | None) -> np.ndarray:
        return parser(crop)

    return parse
