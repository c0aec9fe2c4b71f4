# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Choice of a rasterizer."""

import os
import shutil
from functools import cache
from importlib.util import find_spec

import torch

from .base import Rasterizer
from .numba_rasterizer import NumbaRasterizer
from .pytorch3d_rasterizer import PyTorch3DRasterizer
from .torch_rasterizer import TorchRasterizer
from .triton_rasterizer import TritonRasterizer

RASTERIZERS: dict[str, type[Rasterizer]] = {
    'torch': TorchRasterizer,
    'numba': NumbaRasterizer,
    'triton': TritonRasterizer,
    'pytorch3d': PyTorch3DRasterizer,
}
PREFERENCE = {'cpu': ('numba', ), 'cuda': ('triton', 'pytorch3d')}
"""By type of device; 'torch' where none of them can be used."""


@cache
def is_usable(package: str) -> bool:
    """Whether a back-end is installed, with what it needs.

    Triton builds the launcher of a kernel with a C compiler, which slim
    containers lack: better another rasterizer than an error in training.
    """
    if find_spec(package) is None:
        return False
    return package != 'triton' or bool(os.environ.get('CC')) or any(
        map(shutil.which, ('gcc', 'clang', 'cc')))


class AutoRasterizer(Rasterizer):
    """The best installed back-end for the device of the vertices.

    The choice is made at each call, so a module may be moved between
    devices: numba on CPU, triton (with a C compiler) or pytorch3d on CUDA,
    else torch.
    """

    def backend(self, device: torch.device) -> Rasterizer:
        """The rasterizer for tensors on a device."""
        for name in PREFERENCE.get(device.type, ()):
            if is_usable(name):
                return RASTERIZERS[name]()
        return TorchRasterizer()

    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :meth:`Rasterizer.find_fragments`."""
        return self.backend(vertices.device).find_fragments(
            vertices, faces, height, width)

    def vertex_gradients(self, vertices: torch.Tensor,
                         *args: torch.Tensor) -> torch.Tensor:
        """See :meth:`Rasterizer.vertex_gradients`."""
        return self.backend(vertices.device).vertex_gradients(
            vertices, *args)


def build_rasterizer(name: str = 'auto') -> Rasterizer:
    """Build a rasterizer by name.

    Args:
        name: 'auto' (chosen by the tensors' device at each call), 'torch',
            'numba', 'triton' or 'pytorch3d'.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If the back-end's package is not installed.
    """
    if name == 'auto':
        return AutoRasterizer()
    if name not in RASTERIZERS:
        raise ValueError(f"There is no rasterizer '{name}'; there are "
                         f"{['auto', *RASTERIZERS]}.")
    return RASTERIZERS[name]()
