# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The choice of a rasterizer."""

from importlib.util import find_spec

import pytest
import torch

from mmtvface.renderers import auto_rasterizer
from mmtvface.renderers.auto_rasterizer import AutoRasterizer, is_usable


@pytest.mark.skipif(find_spec('triton') is None, reason='needs triton')
def test_triton_needs_a_compiler(monkeypatch):
    def choice(compiler):
        is_usable.cache_clear()
        monkeypatch.setattr(auto_rasterizer.shutil, 'which',
                            lambda name: compiler)
        backend = AutoRasterizer().backend(torch.device('cuda'))
        return type(backend).__name__

    monkeypatch.delenv('CC', raising=False)
    try:
        assert choice('/usr/bin/cc') == 'TritonRasterizer'
        assert choice(None) != 'TritonRasterizer'
        monkeypatch.setenv('CC', 'tcc')
        assert choice(None) == 'TritonRasterizer'
    finally:
        is_usable.cache_clear()
