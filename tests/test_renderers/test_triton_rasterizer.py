# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the shared suite does not ask of the Triton rasterizer."""

import os
import re
import subprocess
import sys

import pytest
import torch
from test_rasterizers import soup
from toy_rasterizers import installed_rasterizer

from mmtvface.renderers import build_rasterizer

COMPILE = '''
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mmtvface.renderers import triton_gradient_kernels, triton_kernels

def compile(kernel, blocks, **pointers):
    names = kernel.arg_names
    signature = {name: 'i32' for name in names}
    signature |= {name: '*' + kind for name, kind in pointers.items()}
    signature |= {name: 'constexpr' for name in blocks}
    assert list(signature) == names
    made = triton.compile(
        ASTSource(kernel, signature, blocks), options=OPTIONS,
        target=GPUTarget('cuda', 80, 32))
    assert made.asm['cubin']
    print(made.asm['ptx'])

OPTIONS = dict(enable_fp_fusion=False)
tile = dict(FACES=16, PIXELS=16)
for kind in ('fp32', 'fp64'):
    mesh = dict(vertices=kind, faces='i64')
    grads = dict(grad_barycentrics=kind, grad_depth=kind)
    buffers = dict(keys='i64', winners='i32')
    step = 'packed' if kind == 'fp32' else 'index'
    compile(triton_kernels.draw_faces, dict(STEP=step, **tile),
            **mesh, **buffers)
    compile(triton_kernels.resolve_pixels,
            dict(PACKED=kind == 'fp32', PIXELS=64), **mesh, **buffers,
            face_index='i64', barycentrics=kind, depth=kind)
compile(triton_gradient_kernels.sum_over_pixels, tile, **mesh,
        face_index='i64', **grads, grad_corners='fp64')
compile(triton_gradient_kernels.sum_over_faces, dict(VERTICES=64),
        grad_corners='fp64', corners='i64', begin='i64',
        grad_vertices=kind)
'''


def test_kernels_compile_without_fused_multiply_add():
    # The interpreter accepts more than the compiler, which needs no GPU.
    pytest.importorskip('triton')
    env = {key: value for key, value in os.environ.items()
           if key != 'TRITON_INTERPRET'}
    done = subprocess.run([sys.executable, '-c', COMPILE], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'fma.' not in done.stdout
    # Signed minima order the keys; no atomic adds, whose order would vary.
    assert set(re.findall(r'atom\.\S+', done.stdout)) == {
        'atom.global.gpu.relaxed.min.s64', 'atom.global.gpu.relaxed.min.s32'}
    # The smallest area in full precision (1e-12 rounded to float32 is
    # 0d3D71979980000000).
    assert '0d3D719799812DEA11' in done.stdout
    assert '0d3D71979980000000' not in done.stdout


def test_blocks_do_not_change_the_result():
    from mmtvface.renderers.triton_rasterizer import TritonRasterizer
    vertices, faces = soup(faces=5, scale=.3)
    expected = installed_rasterizer('triton')(vertices, faces, (5, 6))
    found = TritonRasterizer(4, 8)(vertices, faces, (5, 6))
    assert expected.covered.any()
    assert all(map(torch.equal, expected, found))


def test_a_size_of_one_is_a_size():
    rasterizer = installed_rasterizer('triton')
    vertices, faces = soup(batch=1, faces=1, scale=2)
    vertices.requires_grad_()
    fragments = rasterizer(vertices, faces, (1, 1))
    reference = build_rasterizer('torch')(vertices, faces, (1, 1))
    assert all(map(torch.equal, fragments, reference))
    fragments.barycentrics.sum().backward()
    assert vertices.grad.shape == vertices.shape


def test_gradients_have_the_same_bits_again():
    rasterizer = installed_rasterizer('triton')
    vertices, faces = soup(faces=30)
    vertices.requires_grad_()
    first, second = (
        torch.autograd.grad(
            (rasterizer(vertices, faces, (12, 9)).barycentrics**2).sum(),
            vertices)[0] for _ in range(2))
    assert first.abs().max() > 0 and torch.equal(first, second)


def test_errors():
    pytest.importorskip('triton')
    from mmtvface.renderers.triton_rasterizer import TritonRasterizer
    with pytest.raises(ValueError, match='power of 2, but it is 12'):
        TritonRasterizer(12)
    rasterizer = build_rasterizer('triton')
    rasterizer.interpreted = False
    vertices, faces = soup(faces=2)
    with pytest.raises(ValueError, match="are on cpu; use 'auto'"):
        rasterizer(vertices, faces, (4, 4))


def draw(rasterizer, vertices, faces):
    """Fragments and a gradient."""
    vertices = vertices.detach().requires_grad_()
    fragments = rasterizer(vertices, faces, (40, 50))
    mix = torch.linspace(-1, 1, fragments.barycentrics.numel(),
                         dtype=vertices.dtype, device=vertices.device)
    loss = fragments.barycentrics.flatten() @ mix
    return *fragments, torch.autograd.grad(loss, vertices)[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_cuda_equals_the_cpu_and_waits_for_nothing(dtype):
    mesh = soup(faces=300, dtype=dtype)
    expected = draw(build_rasterizer('numba'), *mesh)
    rasterizer, mesh = build_rasterizer('triton'), [x.cuda() for x in mesh]
    draw(rasterizer, *mesh)
    torch.cuda.set_sync_debug_mode('error')
    try:
        found = draw(rasterizer, *mesh)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    for ours, reference in zip(found[:3], expected[:3], strict=True):
        assert torch.equal(ours.cpu(), reference)
    torch.testing.assert_close(found[3].cpu(), expected[3], rtol=1e-4,
                               atol=1e-4)
