# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The contract between reconstructors and losses."""
import re
from functools import cached_property
from typing import get_type_hints

import pytest
import torch
from helpers.toy_reconstructor import toy_config, toy_detail, toy_rendering
from toy_detail_stage import batch, run, spy

from mmtvface.models import losses
from mmtvface.models.losses import FaceLoss
from mmtvface.models.outputs import CoarseOutputs, DetailOutputs
from mmtvface.models.targets import DetailTargets, Targets
from mmtvface.registry import MODELS

LANDMARK = dict(landmark=dict(type='LandmarkLoss'))
PHOTOMETRIC = dict(photometric=dict(type='PhotometricLoss'))
DETAIL = dict(photo=dict(type='PhotoDetailLoss', patch_size=32))


@MODELS.register_module()
class ReadEverything(FaceLoss):
    """Reads and keeps every property of outputs and targets."""

    def compute(self, outputs, targets):
        self.read = [(type(x), name, getattr(x, name))
                     for x in (outputs, targets) for name in properties(x)]
        return sum(value.sum() for _, name, value in self.read
                   if isinstance(value, torch.Tensor)
                   and value.requires_grad)


def properties(x):
    """Names of the public properties."""
    return [name for name in dir(type(x)) if not name.startswith('_')
            and isinstance(getattr(type(x), name),
                           (property, cached_property))]


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(toy_config(**changes))


def coarse(**changes):
    config = toy_config()
    encoder = dict(type='LiteTemporalEncoder', depth=18, base_channels=4,
                   with_landmarks=True)
    return build(encoder=encoder, regressor=dict(
        config['regressor'], landmark_uncertainty=True), **toy_rendering(),
        **changes)


def detail(**changes):
    return build(**(toy_detail() | changes))


@pytest.mark.parametrize(('build', 'option', 'types', 'copies'), [
    (coarse, 'shape_consistency', {CoarseOutputs, Targets}, 1),
    (coarse, 'shape_consistency', {CoarseOutputs, Targets}, 2),
    (detail, 'detail_consistency', {DetailOutputs, DetailTargets}, 1),
    (detail, 'detail_consistency', {DetailOutputs, DetailTargets}, 2)])
def test_docstrings_say_the_shape_and_the_unit(build, option, types, copies):
    model = build(losses=dict(all=dict(type='ReadEverything')),
                  **{option: copies == 2})
    run(model, batch(0, 1), 'loss')
    read = model.losses['all'].read
    assert {kind for kind, _, _ in read} == types and len(read) >= 9
    sizes = dict(B=copies * 2 * 3, V=144, H=32, W=32)
    units = ('metres', 'NDC', 'RGB', '0..1', 'unit length', 'true surface',
             'multiplies', 'else 0', 'on the detailed surface',
             'the same before')
    for kind, name, value in read:
        text = getattr(kind, name).__doc__
        if isinstance(value, dict):
            assert text.startswith('Name -> (B, C)')
            assert all(len(code) == sizes['B'] for code in value.values())
            continue
        shape = re.match(r'\((.*?)\)', text)[1].split(', ')
        assert value.shape == tuple(
            int(size) if size.isdigit() else sizes.get(size, length)
            for size, length in zip(shape, value.shape, strict=True)), name
        assert any(unit in text for unit in units) or name == 'normals', name


@pytest.mark.parametrize(('build', 'kind'), [
    (coarse, CoarseOutputs), (detail, DetailOutputs)])
def test_every_loss_works_in_the_stage_of_its_annotation(build, kind):
    options = dict(CodePriorLoss=dict(name='exp'),
                   CodeLoss=dict(weights=dict(pose=1.)),
                   IDMRFLoss=dict(weights='random', patch_size=32))
    names = [name for name in losses.__all__
             # The one needs a file, the other is abstract.
             if name not in ('IdentityLoss', 'FaceLoss') and get_type_hints(
                 getattr(losses, name).compute)['outputs'] is kind]
    assert len(names) >= 7
    model = build(losses={name: dict(type=name, **options.get(name, {}))
                          for name in names})
    found = run(model, batch(0, 1), 'loss')
    assert list(found)[:-1] == [f'loss_{name}' for name in names]
    assert all(found[f'loss_{name}'].requires_grad for name in names)


def test_every_output_is_computed_once_and_only_if_it_is_read():
    parts = dict(type='CodePriorLoss', name='tex')
    model = coarse(losses=dict(prior=parts))
    calls = {}
    for module, method in ((model.flame, 'forward'),
                           (model.texture, 'forward'),
                           (model.renderer, 'render'),
                           (model.regressor, 'landmark_log_sigma')):
        spy(module, method, calls.setdefault(module, []))

    def counts(configs):
        for seen in calls.values():
            seen.clear()
        model.losses = torch.nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in configs.items()})
        run(model, batch(0, 1), 'loss')
        return [len(seen) for seen in calls.values()]

    assert counts(dict(prior=parts)) == [1, 0, 0, 0]
    assert counts(LANDMARK | dict(eye=dict(type='EyeClosureLoss'))) == [
        1, 0, 0, 0]
    assert counts(LANDMARK | PHOTOMETRIC | dict(
        again=dict(type='PhotometricLoss', mask='rendered'))) == [1, 1, 1, 0]
    assert counts(dict(uncertain=dict(type='UncertainLandmarkLoss'))) == [
        1, 0, 0, 1]


def test_what_no_loss_reads_may_be_missing_or_wrong():
    model = build(losses=LANDMARK)
    data = batch(0, 1)
    for sample in data['data_samples']:
        del sample.gt_codes, sample.gt_masks, sample.gt_displacement
        sample.gt_vertices = torch.zeros(1)
    expected = run(model, batch(0, 1), 'loss')['loss_landmark']
    assert run(model, data, 'loss')['loss_landmark'] == expected
    del data['data_samples'][1].gt_landmarks
    with pytest.raises(ValueError, match=(
            r"^The loss 'landmark' needs 'gt_landmarks', which these clips "
            r"lack: \['toy1'\]; use data that has it, or leave the loss out "
            r'\(losses=dict\(landmark=None\)\)\.$')):
        run(model, data, 'loss')


def test_losses_are_logged_in_the_order_of_the_config():
    configs = dict(b=LANDMARK['landmark'], a=dict(type='EyeClosureLoss'),
                   c=dict(type='LightPriorLoss'))
    found = run(build(losses=configs), batch(0), 'loss')
    assert list(found) == ['loss_b', 'loss_a', 'loss_c', 'shape_spread']
    found = run(detail(losses=DETAIL), batch(0), 'loss')
    assert list(found) == ['loss_photo', 'detail_spread']


def test_a_render_between_the_losses_changes_no_gradient():
    """Sums of floats depend on the order of what is summed."""
    configs = LANDMARK | dict(
        vertex=dict(type='VertexLoss'),
        light=dict(type='LightPriorLoss'),
        code=dict(type='CodeLoss', weights=dict(pose=5., exp=1.)),
        expression=dict(type='ExpressionLoss')) | PHOTOMETRIC
    gradients = []

    def read_first(_, arguments):
        outputs, _ = arguments
        assert outputs.expression_landmarks.requires_grad
        assert outputs.rendered_images.requires_grad

    for early in (False, True):
        model = build(losses=configs, **toy_rendering())
        if early:
            model.losses['landmark'].register_forward_pre_hook(read_first)
        sum(run(model, batch(0, 1), 'loss').values()).backward()
        gradients.append([p.grad for p in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert torch.equal(first, second)
