# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Differentiable rasterizers, mesh rendering and UV mapping."""

from .auto_rasterizer import AutoRasterizer, build_rasterizer
from .base import Rasterizer
from .detail_surface import DetailSurface, SurfaceMaps
from .fragments import Fragments, interpolate
from .mesh_renderer import MeshRenderer, RenderOutput
from .uv_mapper import UVMapper, UVTexture

__all__ = [
    'AutoRasterizer', 'DetailSurface', 'Fragments', 'MeshRenderer',
    'Rasterizer', 'RenderOutput', 'SurfaceMaps', 'UVMapper', 'UVTexture',
    'build_rasterizer', 'interpolate'
]
