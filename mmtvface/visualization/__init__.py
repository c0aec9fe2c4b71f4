# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of landmarks and reconstructions."""

from .drawing import add_caption, draw_landmarks
from .frame_painter import PICTURES, FramePainter
from .grid import image_grid, spread
from .overlay import overlay_shape, pixels_to_ndc3d, shape_image
from .posed_face import PosedFace

__all__ = ['PICTURES', 'FramePainter', 'PosedFace',
           'add_caption', 'draw_landmarks', 'image_grid', 'overlay_shape',
           'pixels_to_ndc3d', 'shape_image', 'spread']
