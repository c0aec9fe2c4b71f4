# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
import torch.nn.functional as F

from mmtvface.models.decoders.detail_decoder import DetailDecoder


def small(**changes):
    torch.manual_seed(0)
    return DetailDecoder(**{**dict(num_detail=6, num_condition=5, size=32),
                            **changes})


def inputs(batch=3):
    return torch.randn(batch, 3), torch.randn(batch, 2), torch.randn(batch, 6)


def test_published_names_and_shapes():
    state = DetailDecoder().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()
              if name.endswith('weight')}
    assert shapes == {
        'l1.0.weight': (8192, 181),
        'conv_blocks.0.weight': (128, ),
        'conv_blocks.2.weight': (128, 128, 3, 3),
        'conv_blocks.3.weight': (128, ),
        'conv_blocks.6.weight': (64, 128, 3, 3),
        'conv_blocks.7.weight': (64, ),
        'conv_blocks.10.weight': (64, 64, 3, 3),
        'conv_blocks.11.weight': (64, ),
        'conv_blocks.14.weight': (32, 64, 3, 3),
        'conv_blocks.15.weight': (32, ),
        'conv_blocks.18.weight': (16, 32, 3, 3),
        'conv_blocks.19.weight': (16, ),
        'conv_blocks.21.weight': (1, 16, 3, 3),
    }


def test_equals_the_formula():
    decoder = small().eval()
    for value in decoder.buffers():
        if value.dtype.is_floating_point:
            value.uniform_(.5, 1.5)
    w = decoder.state_dict()
    jaw, expression, detail = inputs()

    def norm(x, index, eps):
        name = f'conv_blocks.{index}.'
        return F.batch_norm(
            x, w[f'{name}running_mean'], w[f'{name}running_var'],
            w[f'{name}weight'], w[f'{name}bias'], eps=eps)

    x = torch.cat([jaw, expression, detail], 1) @ w['l1.0.weight'].T
    x = norm((x + w['l1.0.bias']).view(3, 128, 1, 1), 0, 1e-5)
    for index in (2, 6, 10, 14, 18):
        x = F.interpolate(x, scale_factor=2, mode='bilinear',
                          align_corners=False)
        x = F.conv2d(x, w[f'conv_blocks.{index}.weight'],
                     w[f'conv_blocks.{index}.bias'], padding=1)
        x = F.leaky_relu(norm(x, index + 1, .8), .2)
    x = F.conv2d(x, w['conv_blocks.21.weight'], w['conv_blocks.21.bias'],
                 padding=1)
    torch.testing.assert_close(
        decoder(jaw, expression, detail), .01 * torch.tanh(x))


def test_displacement_is_bounded_and_follows_all_inputs():
    decoder = small(max_displacement=.002)
    arguments = [x.requires_grad_() for x in inputs()]
    out = decoder(*arguments)
    assert out.shape == (3, 1, 32, 32) and out.abs().max() <= .002
    out[0].square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in arguments)


def test_norm_eps_keeps_small_activations_alive():
    """With the published value the codes hardly reach the map at first."""
    spread = {}
    for eps in (.8, 1e-5):
        out = small(norm_eps=eps).train()(*inputs(16))
        spread[eps] = (out.std(0) / out.abs().mean()).mean().item()
    assert spread[1e-5] > 2 * spread[.8]


def test_sizes():
    assert small(size=64)(*inputs()).shape == (3, 1, 64, 64)
    with pytest.raises(ValueError, match='multiple of 32, but it is 40'):
        small(size=40)


def test_wrong_inputs():
    jaw, expression, detail = inputs()
    with pytest.raises(ValueError, match='expression must have the shape'):
        small()(jaw, expression[:, :1], detail)
    with pytest.raises(ValueError, match='detail must have the shape'):
        small()(jaw, expression, detail[:2])
