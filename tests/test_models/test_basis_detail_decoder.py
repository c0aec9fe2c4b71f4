# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch

from mmtvface.models.decoders.basis_detail_decoder import BasisDetailDecoder


def small(**changes):
    torch.manual_seed(0)
    return BasisDetailDecoder(**{**dict(
        num_detail=4, num_condition=5, size=8, num_basis=3,
        hidden_channels=6), **changes})


def inputs(batch=2):
    return torch.randn(batch, 3), torch.randn(batch, 2), torch.randn(batch, 4)


def test_starts_flat_and_learns_every_texel():
    decoder = small()
    out = decoder(*inputs())
    assert out.shape == (2, 1, 8, 8) and out.abs().max() == 0
    target = torch.linspace(-1e-3, 1e-3, 64).view(1, 1, 8, 8)
    (1e6 * (out - target)).square().mean().backward()
    assert (decoder.base.grad != 0).all()
    assert (decoder.basis.grad.abs().sum(0) > 0).all()


def test_equals_the_sum_by_hand():
    decoder = small(max_displacement=.002)
    for parameter in (decoder.base, decoder.basis):
        torch.nn.init.normal_(parameter, std=.3)
    arguments = inputs()
    out = decoder(*arguments)
    weights = decoder.weights(torch.cat(arguments, 1))
    for frame in range(2):
        total = decoder.base.clone()
        for k in range(3):
            total = total + weights[frame, k] * decoder.basis[k]
        torch.testing.assert_close(out[frame, 0], .002 * total.tanh())
    assert out.abs().max() <= .002


def test_follows_all_inputs():
    decoder = small()
    torch.nn.init.normal_(decoder.basis)
    arguments = [x.requires_grad_() for x in inputs()]
    decoder(*arguments)[0].sum().backward()
    assert all(x.grad[0].abs().sum() > 0 for x in arguments)


def test_wrong_inputs():
    jaw, expression, detail = inputs()
    with pytest.raises(ValueError, match='detail must have the shape'):
        small()(jaw, expression, detail[:, :2])
