# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
from helpers.given import given
from helpers.toy_reconstructor import toy_batch, toy_config

from mmtvface.registry import MODELS


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(toy_config(**changes))


def run(model, batch, mode):
    return model(**model.data_preprocessor(batch), mode=mode)


def test_true_vertices_may_come_from_the_codes():
    model = build(losses=dict(vertex=dict(type='VertexLoss')))
    batch = toy_batch(0, 1)
    codes = [s.gt_codes for s in batch['data_samples']]
    truth = [model.flame(*(c[k] for k in ('shape', 'exp', 'pose'))).vertices
             for c in codes]
    for sample, vertices in zip(batch['data_samples'], truth, strict=True):
        sample.gt_vertices = vertices
    given = run(model, batch, 'loss')['loss_vertex']
    for sample in batch['data_samples']:
        del sample.gt_vertices
    assert run(model, batch, 'loss')['loss_vertex'] == given
    for code in codes:
        del code['exp']
    with pytest.raises(ValueError, match=r"'gt_vertices'.*\['exp'\]"):
        run(model, batch, 'loss')


def test_geometry_of_the_codes_for_losses_on_expression_and_person():
    model = build(losses=dict(
        expression=dict(type='ExpressionLoss'),
        person=dict(type='NeutralLandmarkLoss'))).eval()
    batch = toy_batch(0)
    out = run(model, batch, 'loss')
    flat = run(model, batch, 'tensor')[0]
    codes, truth = model.layout.split(flat), batch['data_samples'][0].gt_codes
    # By hand: the expression on the mean head, ahead; the neutral heads
    points = []
    for part in (codes, truth):
        jaw = part['pose'].clone()
        jaw[:, :3] = 0
        points.append((model.flame(torch.zeros_like(part['shape']),
                                   part['exp'], jaw).landmarks3d,
                       model.flame(part['shape'], 0 * part['exp'],
                                   0 * jaw).landmarks3d))
    for name, index in (('expression', 0), ('person', 1)):
        key = f'{"expression" if not index else "neutral"}_landmarks'
        expected = model.losses[name](
            given(**{key: points[0][index]}),
            given(**{key: points[1][index]}))
        assert torch.allclose(out[f'loss_{name}'], expected, rtol=1e-3)
    # Neither head pose nor person are in the loss on the expression.
    for sample in batch['data_samples']:
        sample.gt_codes['pose'][:, :3] += 1
        sample.gt_codes['shape'] = sample.gt_codes['shape'] + 1
    again = run(model, batch, 'loss')
    assert torch.allclose(again['loss_expression'], out['loss_expression'])
    assert again['loss_person'] > out['loss_person']


def test_uncertainty_of_landmarks():
    losses = dict(landmark=dict(type='UncertainLandmarkLoss'))
    with pytest.raises(ValueError, match="'landmark' learns uncertainties.*"
                       r'regressor=dict\(landmark_uncertainty=True'):
        run(build(losses=losses), toy_batch(0), 'loss')
    regressor = {**toy_config()['regressor'], 'landmark_uncertainty': True}
    model = build(losses=losses, regressor=regressor)
    run(model, toy_batch(0, 1), 'loss')['loss_landmark'].backward()
    assert model.regressor.uncertainty.bias.grad.any()
    sample = run(model.eval(), toy_batch(0), 'predict')[0]
    assert sample.pred_landmark_sigma.shape == (3, 68)
    assert torch.allclose(sample.pred_landmark_sigma, torch.tensor(.05))


def test_heads_at_rest_are_compared_by_the_shape_alone():
    model = build(losses=dict(neutral=dict(type='NeutralVertexLoss')))
    batch = toy_batch(0, 1)
    value = run(model, batch, 'loss')['loss_neutral']
    inputs = model.data_preprocessor(batch)['inputs']
    pred = model.layout.split(model(inputs))['shape'].flatten(0, 1)
    true = torch.cat([s.gt_codes['shape'] for s in batch['data_samples']])
    zeros = torch.zeros(len(true), 6)
    heads = [model.flame(x, zeros[:, :model.layout.exp], zeros).vertices
             for x in (pred, true)]
    expected = 1000 * (heads[0] - heads[1]).norm(dim=-1).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
