# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
from mmengine.model import BaseModule
from toy_encoders import randomize_alignment, tiny

from mmtvface.models.encoders import propagation as prop


# ------------------------------------------------- initialisation
@pytest.fixture(scope='module')
def spynet_file(tmp_path_factory):
    """Like the published file: without the constants mean and std."""
    torch.manual_seed(1)
    state = prop.SPyNet(None).state_dict()
    path = tmp_path_factory.mktemp('weights') / 'spynet.pth'
    torch.save({k: v for k, v in state.items() if '.' in k}, path)
    return str(path)


class Parent(BaseModule):

    def __init__(self, encoder, **init_cfg):
        super().__init__(init_cfg)
        self.encoder = encoder


def spynet_equals(encoder, state):
    own = encoder.spynet.state_dict()
    return all(torch.equal(own[k], v) for k, v in state.items())


def test_initialisation_keeps_what_is_special(spynet_file):
    encoder = tiny(spynet_pretrained=spynet_file)
    state = torch.load(spynet_file)
    assert not spynet_equals(encoder, state)
    Parent(encoder, type='Kaiming', layer='Conv2d', bias=3.0).init_weights()
    assert spynet_equals(encoder, state)
    for align in encoder.rnn.deform_align.values():
        assert align.conv_offset[-1].weight.abs().max() == 0
        assert align.conv_offset[-1].bias.abs().max() == 0
    # Kaiming fan-in of 36 inputs is 0.236
    weights = torch.cat([
        m.conv1.weight.flatten() for m in encoder.modules()
        if isinstance(m, prop.NormedResidualBlock)
    ])
    assert 0.015 < weights.std() < 0.035
    assert (encoder.head.bias == 3).all()


def test_spynet_from_a_checkpoint_of_basicvsr(tmp_path, spynet_file):
    state = torch.load(spynet_file)
    path = tmp_path / 'basicvsr_plusplus.pth'
    torch.save(dict(state_dict={
        f'generator.spynet.{k}': v for k, v in state.items()
    } | {'generator.conv_hr.bias': torch.ones(1)}), path)
    encoder = tiny(spynet_pretrained=str(path))
    encoder.init_weights()
    assert spynet_equals(encoder, state)


def test_training_leaves_a_frozen_spynet_alone(spynet_file):
    encoder = tiny(spynet_pretrained=spynet_file)
    encoder.init_weights()
    encoder.train()
    assert not any(m.training for m in encoder.spynet.modules())
    before = encoder.head.weight.clone()
    optimizer = torch.optim.Adam(encoder.parameters(), 0.1, weight_decay=0.1)
    encoder(torch.rand(1, 2, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(encoder.head.weight, before)
    assert spynet_equals(encoder, torch.load(spynet_file))


def test_a_free_spynet_learns(spynet_file):
    encoder = tiny(spynet_pretrained=spynet_file, freeze_spynet=False)
    encoder.init_weights()
    randomize_alignment(encoder).train()
    assert encoder.spynet.training
    encoder(torch.rand(1, 3, 3, 32, 32)).square().sum().backward()
    grads = [p.grad for p in encoder.spynet.parameters()]
    assert all(g is not None for g in grads)
    assert max(g.abs().max() for g in grads) > 0


def test_resnet_weights_fill_the_trunk(tmp_path):
    from mmtvface.models.encoders import ResNetEncoder
    path = tmp_path / 'resnet.pth'
    state = ResNetEncoder(18, 4).state_dict()
    torch.save({**state, 'fc.weight': torch.ones(1)}, path)
    encoder = tiny(resnet_pretrained=str(path), with_alignment=False)
    encoder.init_weights()
    own = encoder.state_dict()
    trunk = [k for k in state if k.startswith('layer')]
    assert trunk
    assert all(torch.equal(own[k], state[k]) for k in trunk)


def test_weights_are_only_read_in_init_weights():
    encoder = tiny(spynet_pretrained='/nowhere/spynet.pth')
    with pytest.raises(FileNotFoundError, match='SPyNet.*/nowhere/spynet'):
        encoder.init_weights()


def test_spynet_file_of_something_else(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'weight': torch.ones(1)}, path)
    encoder = tiny(spynet_pretrained=str(path))
    with pytest.raises(ValueError, match='does not fit SPyNet: missing 60'):
        encoder.init_weights()


def test_a_whole_checkpoint_wins(tmp_path):
    trained = randomize_alignment(tiny(seed=5))
    path = tmp_path / 'encoder.pth'
    torch.save(trained.state_dict(), path)
    encoder = tiny(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    encoder.init_weights()
    torch.testing.assert_close(encoder.state_dict(), trained.state_dict())
