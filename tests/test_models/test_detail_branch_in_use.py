# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A model with a detail branch: predictions, bad batches, bad configs."""
import pytest
import torch
from helpers.toy_reconstructor import toy_batch, toy_config
from mmengine.optim import OptimWrapper
from torch import nn
from toy_detail_stage import (
    LOSSES,
    SIZE,
    assert_equal,
    batch,
    branch,
    build,
    parts,
    run,
    spy,
)

from mmtvface.models.losses import FaceLoss
from mmtvface.registry import MODELS

TRUTH = dict(truth=dict(type='DisplacementLoss'))


# ------------------------------------------------- predictions
@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_predictions(stage):
    model = build(stage=stage, losses=None).eval()
    data = toy_batch(0, 1, num_frames=2)
    with torch.no_grad():
        flat = run(model, data, 'tensor')
        results = model.val_step(data)
        codes = model.layout.split(flat)
        clips = model.data_preprocessor(data)['inputs']
        detail = model.detail.head(model.detail.encoder(clips))
    assert flat.shape == (2, 2, model.layout.total)
    for index, result in enumerate(results):
        assert torch.equal(result.pred_codes['detail'], detail[index])
        assert detail.shape == (2, 2, 6)
        expected = model.detail.decoder(
            codes['pose'][index][:, 3:], codes['exp'][index], detail[index])
        assert result.pred_displacement.shape == (2, 1, SIZE, SIZE)
        torch.testing.assert_close(result.pred_displacement, expected)
        assert torch.equal(result.pred_codes['shape'], codes['shape'][index])
        assert 'pred_displacement' not in data['data_samples'][index]


def test_without_a_branch_nothing_is_added():
    model = MODELS.build(toy_config()).eval()
    result, = run(model, toy_batch(0), 'predict')
    assert 'pred_displacement' not in result
    assert 'detail' not in result.pred_codes
    assert set(model.state_dict()) == set(parts(build(), 'coarse'))


def test_names_in_checkpoints():
    names = parts(build(), 'detail')
    assert {name.split('.')[1] for name in names} == {
        'encoder', 'head', 'decoder'}
    assert {name for name in names if '.head.' in name} == {
        f'detail.head.layers.{i}.{p}' for i in (0, 2)
        for p in ('weight', 'bias')}


def test_float32_behind_the_encoders_under_autocast():
    model = build(losses=LOSSES)
    seen = []
    spy(model.detail.head, 'forward', seen)
    spy(model.detail.decoder, 'forward', seen)
    data = model.data_preprocessor(toy_batch(0, 1))
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**data, mode='loss')
        result = model(**data, mode='predict')[0]
    assert all(value.dtype == torch.float32 for args in seen
               for value in args)
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert result.pred_displacement.dtype == torch.float32


# ------------------------------------------------- not finite
def test_broken_detail_codes_are_named():
    model = build(losses=LOSSES, skip_nonfinite=True)
    nn.init.constant_(model.detail.head.layers[0].bias, torch.nan)
    with pytest.raises(FloatingPointError, match=r"codes of \['toy4'"):
        run(model, toy_batch(4), 'loss')


def test_skipping_a_bad_batch_leaves_the_weights():
    model = build(losses=TRUTH, skip_nonfinite=True)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
    before = {k: v.clone() for k, v in model.named_parameters()}
    data = batch(0, 1)
    data['data_samples'][1].gt_displacement[0, 0, 9, 9] = torch.inf
    assert model.train_step(data, wrapper)['loss'] == 0
    assert_equal(dict(model.named_parameters()), before)
    model.train_step(batch(0, 1), wrapper)
    name = 'detail.decoder.conv_blocks.21.bias'
    assert not torch.equal(dict(model.named_parameters())[name],
                           before[name])


# ------------------------------------------------- configuration
LANDMARK = dict(landmark=dict(type='LandmarkLoss'))


class Mixed(FaceLoss):

    def compute(self, outputs, targets):
        return outputs.displacement.mean() + outputs.landmarks2d.mean()


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(detail=None), "stage='detail' needs a branch"),
    (dict(stage='coarse', losses=None, detail_consistency=True),
     "detail_consistency needs stage='detail'"),
    (dict(shape_consistency=True), "shape_consistency needs stage='coarse'"),
    (dict(detail=branch(decoder=dict(type='DetailDecoder', size=64))),
     r'decoder.size is 64, but surface.size makes it 32'),
    (dict(detail=branch(decoder=dict(type='DetailDecoder',
                                     num_condition=53))),
     'num_condition is 53, but jaw and expression makes it 6'),
    (dict(detail=branch(decoder=dict(type='DetailDecoder', num_detail=7))),
     'num_detail is 7, but head.num_detail makes it 6'),
    (dict(detail=branch(head=dict(type='DetailHead', in_channels=5))),
     'in_channels is 5, but encoder.out_channels makes it 8'),
])
def test_configuration_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(losses=LANDMARK), "'landmark' reads 'landmarks2d', but in this "
     r"stage .*'displacement'.*losses=dict\(landmark=None\)"),
    (dict(losses=dict(mixed=dict(type=Mixed))),
     "'mixed' reads 'landmarks2d', but in this stage"),
    (dict(stage='coarse'), "'photo' reads 'uv_images', but in this stage "
     ".*'rendered_images'"),
    (dict(texture=None), r"'photo' needs a texture; configure .*photo=None"),
])
def test_losses_that_read_what_there_is_not(changes, message):
    with pytest.raises(ValueError, match=message):
        run(build(**changes), batch(0), 'loss')


def test_an_error_within_a_loss_is_not_blamed_on_the_outputs():

    class Broken(FaceLoss):

        def compute(self, outputs, targets):
            return outputs.displacement.landmarks2d

    with pytest.raises(AttributeError, match="'Tensor'.*'landmarks2d'"):
        run(build(losses=dict(broken=dict(type=Broken))), batch(0), 'loss')


def test_the_albedo_must_have_the_size_of_the_maps():
    model = build(texture=dict(type='ToyTexture', size=16))
    with pytest.raises(ValueError, match=r'texture.size must be the same\) '
                       r'must have the shape \(3, 3, 32, 32\)'):
        run(model, toy_batch(0), 'loss')


def test_any_encoder_will_do_without_a_branch():

    class Plain(nn.Module):
        out_channels = 3

        def forward(self, clips):
            return clips.mean((-2, -1))

    assert len(run(MODELS.build(toy_config(encoder=dict(type=Plain))),
                   toy_batch(0), 'predict')) == 1
    with pytest.raises(ValueError, match='must be a ClipEncoder.*a Plain'):
        build(encoder=dict(type=Plain))
