# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Back-ends for the shared suites of the rasterizers."""

import pytest

from mmtvface.renderers import build_rasterizer
from mmtvface.renderers.base import Rasterizer


def installed_rasterizer(name: str) -> Rasterizer:
    """A back-end that works on CPU tensors here, or skip the test.

    Triton does where it interprets (see ``tests/conftest.py``), with large
    blocks: the interpreter's time goes by operations.
    """
    if name == 'auto':
        return build_rasterizer()
    pytest.importorskip(name)
    if name != 'triton':
        return build_rasterizer(name)
    from mmtvface.renderers.triton_rasterizer import TritonRasterizer
    rasterizer = TritonRasterizer(512, 64)
    if not rasterizer.interpreted:
        pytest.skip('Triton works on CPU tensors with TRITON_INTERPRET=1')
    return rasterizer
