# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest
import torch

from mmtvface.heads import FLAMETexture
from mmtvface.heads.flame_texture import nearest_texels
from mmtvface.registry import MODELS

TEXELS = 512 * 512


def _bfm(path, components=4, dtype=np.float32, order='C', save=np.savez):
    rng = np.random.default_rng(0)
    mean = rng.random((1, TEXELS * 3)).astype(dtype)
    basis = (.1 * rng.normal(size=(TEXELS * 3, components))).astype(dtype)
    save(path, MU=mean, PC=np.asarray(basis, order=order),
         specMU=np.zeros(3))
    return mean, basis


def _published(mean, basis, code, size):
    """Product at 512, BGR to RGB, nearest resize: what the papers' code
    computes."""
    texture = mean.reshape(1, -1) + code @ basis.T
    image = torch.from_numpy(texture.reshape(-1, 512, 512, 3)[..., ::-1]
                             .transpose(0, 3, 1, 2).copy())
    return torch.nn.functional.interpolate(image, (size, size))


@pytest.mark.parametrize('size', [1, 100, 224, 256, 300, 512, 600])
def test_texels_are_those_of_torch(size):
    source = torch.arange(TEXELS, dtype=torch.float64).reshape(1, 1, 512, 512)
    expected = torch.nn.functional.interpolate(source, (size, size))
    np.testing.assert_array_equal(nearest_texels(size), expected.flatten())


@pytest.mark.parametrize('order', ['C', 'F'])
@pytest.mark.parametrize('size', [256, 100, 600])
def test_bfm_agrees_with_the_published_computation(tmp_path, size, order):
    mean, basis = _bfm(tmp_path / 'bfm.npz', order=order)
    code = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    expected = _published(mean, basis[:, :3], code, size)
    layer = FLAMETexture(tmp_path / 'bfm.npz', 3, size, clamp=False)
    result = layer(torch.from_numpy(code))
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)
    clamped = FLAMETexture(tmp_path / 'bfm.npz', 3, size)
    assert result.max() > 1 and result.min() < 0
    assert torch.equal(clamped(torch.from_numpy(code)), result.clamp(0, 1))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('order', ['C', 'F'])
def test_flame_texture_is_scaled_from_255(tmp_path, save, order):
    rng = np.random.default_rng(0)
    mean = np.round(255 * rng.random((512, 512, 3)))
    basis = rng.integers(-20, 20, (512, 512, 3, 3)).astype(np.int8)
    save(tmp_path / 'texture.npz', mean=mean,
         tex_dir=np.asarray(basis, order=order))
    code = rng.normal(size=(2, 2))
    expected = _published(mean / 255, basis.reshape(-1, 3)[:, :2] / 255,
                          code, 256)
    layer = FLAMETexture(tmp_path / 'texture.npz', 2, clamp=False)
    torch.testing.assert_close(layer(torch.from_numpy(code).float()),
                               expected.float(), atol=1e-6, rtol=0)


def test_a_picture_is_one_albedo_for_all_codes(tmp_path):
    # Red grows downwards, green to the right; no blue.
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = np.arange(8)[:, None] * 30
    image[..., 1] = np.arange(8) * 10
    cv2.imwrite(str(tmp_path / 'mean.png'), image[..., ::-1])
    layer = FLAMETexture(tmp_path / 'mean.png', 5, 4)
    code = torch.randn(2, 5, requires_grad=True)
    result = layer(code)
    assert result.shape == (2, 3, 4, 4)
    expected = torch.from_numpy(image[::2, ::2] / 255.).permute(2, 0, 1)
    torch.testing.assert_close(result[1], expected.float())
    assert torch.equal(result[0], result[1])
    assert torch.autograd.grad(result.sum(), code)[0].eq(0).all()
    with pytest.raises(ValueError, match=r'code .*\(B, 5\)'):
        layer(torch.zeros(2, 4))
    cv2.imwrite(str(tmp_path / 'wide.jpg'), image[:4])
    with pytest.raises(ValueError, match='wide.jpg .*square.* 8 x 4'):
        FLAMETexture(tmp_path / 'wide.jpg')
    (tmp_path / 'page.jpg').write_bytes(b'<html>')
    with pytest.raises(ValueError, match='it is no picture.*DECA release'):
        FLAMETexture(tmp_path / 'page.jpg')
    with pytest.raises(FileNotFoundError, match='none.jpg.*mean_texture'):
        FLAMETexture(tmp_path / 'none.jpg')


def test_registry_gradient_and_state(tmp_path):
    _bfm(tmp_path / 'bfm.npz')
    layer = MODELS.build(dict(type='FLAMETexture', num_components=4, size=4,
                              path=str(tmp_path / 'bfm.npz'), clamp=False))
    assert not layer.state_dict()
    code = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.double(), code)


def test_errors(tmp_path):
    path = tmp_path / 'bfm.npz'
    _bfm(path)
    with pytest.raises(ValueError, match='5 components .* has 4'):
        FLAMETexture(path, 5)
    with pytest.raises(ValueError, match=r'code .*\(B, 2\).*\(1, 3\)'):
        FLAMETexture(path, 2, 4)(torch.zeros(1, 3))
    with pytest.raises(ValueError, match='must be positive'):
        FLAMETexture(path, 2, 0)
    with pytest.raises(FileNotFoundError, match="none.npz.*'procedural'"):
        FLAMETexture(tmp_path / 'none.npz')
    data = path.read_bytes()
    for name, content in (('short.npz', data[:len(data) // 2]),
                          ('page.npz', b'<html>login</html>')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f'{name}.*flame.is.tue'):
            FLAMETexture(tmp_path / name, 2)
    np.savez(tmp_path / 'other.npz', a=np.zeros(2))
    with pytest.raises(ValueError, match=r"it holds \['a'\]"):
        FLAMETexture(tmp_path / 'other.npz', 2)
    np.savez(tmp_path / 'small.npz', MU=np.zeros(12), PC=np.zeros((12, 2)))
    with pytest.raises(ValueError, match=r'entry PC .* \(12, 2\)'):
        FLAMETexture(tmp_path / 'small.npz', 2)
