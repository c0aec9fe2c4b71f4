# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmtvface.geometry.lighting import sh_shading
from mmtvface.models.losses import FaceLoss
from mmtvface.registry import MODELS
from mmtvface.testing.toy_reconstructor import (
    toy_batch,
    toy_config,
    toy_detail,
)

SIZE = 32
LOSSES = dict(
    photo=dict(type='PhotoDetailLoss', patch_size=SIZE),
    prior=dict(type='DisplacementPriorLoss'),
    smooth=dict(type='ShadingSmoothnessLoss'),
    symmetry=dict(type='DetailSymmetryLoss'))


class Capture(FaceLoss):
    """Reads everything, keeps it."""

    requires = ('displacement', 'uv_normals', 'uv_shading', 'uv_images',
                'face_mask_uv')
    requires_targets = ('uv_images', 'uv_visibility', 'displacement')

    def compute(self, outputs, targets):
        self.seen = outputs, targets
        return outputs['displacement'].square().mean()


@pytest.fixture(autouse=True)
def capture():
    MODELS.register_module(module=Capture)
    yield
    MODELS.module_dict.pop('Capture')


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(toy_config(**toy_detail(**changes)))


def branch(**changes):
    return toy_detail()['detail'] | changes


def batch(*indices, **kwargs):
    """Clips whose displacement is known."""
    data = toy_batch(*indices, **kwargs)
    for index, sample in zip(indices, data['data_samples'], strict=True):
        generator = torch.Generator().manual_seed(index)
        sample.gt_displacement = 1e-3 * torch.randn(
            len(sample.gt_landmarks), 1, SIZE, SIZE, generator=generator)
    return data


def run(model, data, mode):
    return model(**model.data_preprocessor(data), mode=mode)


def spy(module, method, calls):
    original = getattr(module, method)

    def wrapper(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    object.__setattr__(module, method, wrapper)


def parts(model, kind):
    """State of the model, without or only with what is below detail."""
    return {name: value.clone() for name, value in model.state_dict().items()
            if name.startswith('detail.') == (kind == 'detail')}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


# ------------------------------------------------- what is trained
ENCODERS = [
    dict(type='ToyEncoder'),
    dict(type='ResNetEncoder', depth=18, base_channels=4),
    dict(type='SharedTrunkEncoder', depth=18, base_channels=4)
]


@pytest.mark.parametrize('encoder', ENCODERS, ids=lambda e: e['type'])
def test_losses_reach_the_branch_and_nothing_else(encoder):
    model = build(losses=LOSSES, detail_consistency=True,
                  detail=branch(encoder=encoder)).train()
    losses = run(model, toy_batch(0, 1), 'loss')
    assert set(losses) == {f'loss_{name}' for name in LOSSES} | {
        'detail_spread'}
    model.parse_losses(losses)[0].backward()
    for name, parameter in model.named_parameters():
        trained = name.startswith('detail.')
        assert parameter.requires_grad == trained, name
        assert (parameter.grad is not None) == trained, name
        if trained:
            assert parameter.grad.isfinite().all(), name
            # The bias in front of a batch norm has no effect.
            if name.endswith('weight'):
                assert parameter.grad.abs().sum() > 0, name


def test_training_moves_nothing_but_the_branch():
    model = build(losses=LOSSES, detail_consistency=True).train()
    coarse, detail = parts(model, 'coarse'), parts(model, 'detail')
    assert any('running_mean' in name for name in coarse)
    # All parameters on purpose: weight decay must not reach frozen ones.
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), 3e-3))
    data = toy_batch(0, 1)
    for _ in range(3):
        model.train_step(copy.deepcopy(data), wrapper)
    assert_equal(parts(model, 'coarse'), coarse)
    changed = parts(model, 'detail')
    assert not any(torch.equal(changed[name], value)
                   for name, value in detail.items() if 'weight' in name)
    assert not torch.equal(
        changed['detail.encoder.body.3.running_mean'],
        detail['detail.encoder.body.3.running_mean'])


def test_train_keeps_frozen_parts_in_evaluation_mode():
    model = build(losses=LOSSES).train()
    assert model.detail.encoder.training and model.detail.decoder.training
    for name in ('encoder', 'head', 'flame', 'texture', 'renderer'):
        assert not any(
            module.training for module in getattr(model, name).modules())
    coarse = build(stage='coarse', losses=None).train()
    assert coarse.encoder.training
    assert not any(module.training for module in coarse.detail.modules())
    assert not any(p.requires_grad for p in coarse.detail.parameters())
    assert all(p.requires_grad for p in coarse.encoder.parameters())


def test_a_branch_leaves_the_coarse_stage_alone():
    losses = toy_config()['losses']
    model = build(stage='coarse', losses=losses).train()
    other = MODELS.build(toy_config())
    other.load_state_dict(parts(model, 'coarse'))
    calls = []
    spy(model.detail, 'encode', calls)
    first, second = (run(m.train(), toy_batch(0, 1), 'loss')
                     for m in (model, other))
    assert not calls and first.keys() == second.keys()
    assert torch.equal(first['loss_landmark'], second['loss_landmark'])


# ------------------------------------------------- what is compared
def test_only_what_follows_from_detail_is_doubled():
    model = build(losses=dict(all=dict(type='Capture')),
                  detail_consistency=True)
    heads, albedos, maps, codes = [], [], [], []
    spy(model.flame, 'forward', heads)
    spy(model.texture, 'forward', albedos)
    spy(model.detail.surface, 'maps', maps)
    spy(model.detail.decoder, 'forward', codes)
    run(model, batch(0, 1), 'loss')
    for calls in (heads, albedos, maps):
        assert [len(args[0]) for args in calls] == [6]
    (jaw, expression, detail), = codes
    assert len(jaw) == 12
    for same in (jaw, expression):
        assert torch.equal(same[:6], same[6:])
    assert not torch.equal(detail[:6], detail[6:])
    for clip in (slice(0, 3), slice(3, 6)):
        assert torch.equal(detail[6:][clip].sort(0).values,
                           detail[:6][clip].sort(0).values)
    outputs, targets = model.losses['all'].seen
    assert (outputs['num_frames'], outputs['num_copies']) == (3, 2)
    for name in ('uv_images', 'uv_visibility', 'displacement'):
        assert len(targets[name]) == 12
        assert torch.equal(targets[name][:6], targets[name][6:])


def test_a_single_frame_is_not_doubled():
    model = build(losses=dict(all=dict(type='Capture')),
                  detail_consistency=True)
    run(model, batch(0, 1, num_frames=1), 'loss')
    assert len(model.losses['all'].seen[0]['displacement']) == 2


def test_outputs_equal_the_formulas():
    model = build(losses=dict(all=dict(type='Capture')),
                  detail_consistency=True)
    data = batch(0, 1)
    with torch.no_grad():
        run(model, data, 'loss')
        outputs, targets = model.losses['all'].seen
        codes = model.layout.split(run(model, data, 'tensor').flatten(0, 1))
        head = model.flame(codes['shape'], codes['exp'], codes['pose'])
        maps = model.detail.surface.maps(head.vertices)
        albedo = model.texture(codes['tex'])
        for copy_ in range(2):
            rows = slice(6 * copy_, 6 * copy_ + 6)
            normals = model.detail.surface.normals(
                outputs['displacement'][rows], maps)
            shading = sh_shading(
                normals.permute(0, 2, 3, 1).reshape(6, -1, 3), codes['light'])
            shading = shading.view(6, SIZE, SIZE, 3).permute(0, 3, 1, 2)
            for name, value in (('uv_normals', normals),
                                ('uv_shading', shading),
                                ('uv_images', albedo * shading)):
                torch.testing.assert_close(outputs[name][rows], value)
    assert torch.equal(outputs['face_mask_uv'],
                       model.detail.surface.uv_face_eye_mask)
    truth = torch.cat([s.gt_displacement for s in data['data_samples']])
    assert torch.equal(targets['displacement'], torch.cat([truth, truth]))


def test_targets_are_what_the_images_show():
    model = build(losses=dict(all=dict(type='Capture')))
    data = batch(0)
    with torch.no_grad():
        # One turned head, one that is half outside of the image.
        model.head.layers[2].weight.zero_()
        bias = model.layout.split(model.head.layers[2].bias)
        bias['pose'][1] = -1.1
        bias['cam'][:] = torch.tensor([8., .06, .05])
    # Colours are the image coordinates themselves: pixel i has its centre at
    # (2 i + 1) / 32 - 1.
    ramp = (2 * torch.arange(32.) + 1) / 32 - 1
    image = torch.stack([ramp.expand(32, 32), ramp[:, None].expand(32, 32),
                         torch.ones(32, 32)]) / 2 + .5
    data['inputs'] = [image.expand(3, 3, 32, 32).clone()]
    sample = data['data_samples'][0]
    sample.gt_masks = torch.zeros(3, 1, 32, 32)
    sample.gt_masks[..., :16, :] = 1
    with torch.no_grad():
        run(model, data, 'loss')
        targets = model.losses['all'].seen[1]
        codes = model.layout.split(run(model, data, 'tensor').flatten(0, 1))
        geometry = model.decode(codes)
        mapper = model.detail.surface.mapper
        ndc = mapper.to_uv(geometry['vertices_ndc'])
        seen = mapper.image_to_uv(
            torch.ones(3, 1, 32, 32), geometry['vertices_ndc'],
            occlusion=False).visibility
    inside = (ndc[:, :2].abs() < 31 / 32).all(1, keepdim=True)
    colours = targets['uv_images'] * 2 - 1
    both = inside.expand(-1, 2, -1, -1)
    torch.testing.assert_close(colours[:, :2][both], ndc[:, :2][both])
    # The mask ends between rows 15 and 16, at an image coordinate of 0.
    above = (ndc[:, 1:2] < -1 / 32).float()
    below = ndc[:, 1:2] > 1 / 32
    clear = inside & ((above == 1) | below)
    expected = seen * above * model.detail.surface.uv_face_eye_mask
    torch.testing.assert_close(targets['uv_visibility'][clear],
                               expected[clear])
    far = (ndc[:, :2].abs() > 33 / 32).any(1, keepdim=True)
    assert far.any() and not targets['uv_visibility'][far].any()
    assert (seen == 0)[clear & (above == 1)].any(), 'nothing looks away'


def test_without_masks_all_pixels_count():
    model = build(losses=dict(all=dict(type='Capture')))
    data = batch(0)
    run(model, data, 'loss')
    full = model.losses['all'].seen[1]['uv_visibility']
    assert full.max() == 1
    del data['data_samples'][0].gt_masks
    run(model, data, 'loss')
    assert torch.equal(model.losses['all'].seen[1]['uv_visibility'], full)


def test_occlusion_is_an_option():
    model, other = (
        build(losses=dict(all=dict(type='Capture')),
              detail=branch(occlusion=occlusion))
        for occlusion in (False, True))
    for m in (model, other):
        with torch.no_grad():
            m.head.layers[2].weight.zero_()
            # Almost in profile, the far side lies behind the nose.
            m.layout.split(m.head.layers[2].bias)['pose'][1] = 1.2
        run(m, batch(0), 'loss')
    first, second = (m.losses['all'].seen[1]['uv_visibility']
                     for m in (model, other))
    assert (second <= first).all()
    codes = model.layout.split(run(model, batch(0), 'tensor').flatten(0, 1))
    seen = model.detail.surface.mapper.image_to_uv(
        torch.ones(3, 1, 32, 32), model.decode(codes)['vertices_ndc'])
    assert torch.equal(second, first * seen.visibility)


def test_what_no_loss_reads_is_not_computed():
    model = build(losses=dict(prior=LOSSES['prior']))
    calls = []
    for module, method in ((model.flame, 'forward'),
                           (model.texture, 'forward'),
                           (model.detail.surface, 'maps'),
                           (model.detail.surface, 'normals')):
        spy(module, method, calls)
    run(model, toy_batch(0), 'loss')
    assert not calls
    model = build(losses=dict(smooth=LOSSES['smooth']), texture=None)
    spy(model.detail, 'sample', calls)
    run(model, toy_batch(0), 'loss')
    assert not calls


# ------------------------------------------------- true displacements
TRUTH = dict(truth=dict(type='DisplacementLoss'))


def test_the_true_displacement_can_be_learnt():
    model = build(losses=TRUTH).train()
    data = batch(0)
    data['data_samples'][0].gt_displacement.fill_(2e-3)
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-2))
    values = [model.train_step(copy.deepcopy(data), wrapper)['loss_truth']
              for _ in range(40)]
    assert values[-1] < 0.5 * values[0]


def test_displacements_that_are_missing_or_of_another_size():
    model = build(losses=TRUTH)
    data = batch(3, 5)
    del data['data_samples'][1].gt_displacement
    with pytest.raises(ValueError, match=r"'gt_displacement'.*\['toy5'\]"):
        run(model, data, 'loss')
    data = batch(3)
    sample = data['data_samples'][0]
    sample.gt_displacement = sample.gt_displacement[..., ::2, ::2]
    with pytest.raises(ValueError, match=r"'toy3'.*\(3, 1, 32, 32\).*16"):
        run(model, data, 'loss')
    # Without a loss on them they may be missing.
    run(build(losses=LOSSES), toy_batch(0), 'loss')


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


class Mixed(Capture):
    requires = ('displacement', 'landmarks2d')


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(detail=None), "stage='detail' needs a branch"),
    (dict(losses=LANDMARK), r"\['landmark'\] do not depend on the detail.*"
     'no gradient'),
    (dict(stage='coarse'), r"\['photo'\] are on the detail"),
    (dict(stage='coarse', losses=None, detail_consistency=True),
     "detail_consistency needs stage='detail'"),
    (dict(shape_consistency=True), "shape_consistency needs stage='coarse'"),
    (dict(texture=None), r"\['photo'\] need a texture"),
    (dict(detail=branch(decoder=dict(type='DetailDecoder', size=64))),
     r'decoder.size is 64, but surface.size makes it 32'),
    (dict(detail=branch(decoder=dict(type='DetailDecoder',
                                     num_condition=53))),
     'num_condition is 53, but jaw and expression makes it 6'),
    (dict(detail=branch(decoder=dict(type='DetailDecoder', num_detail=7))),
     'num_detail is 7, but head.num_detail makes it 6'),
    (dict(detail=branch(head=dict(type='DetailHead', in_channels=5))),
     'in_channels is 5, but encoder.out_channels makes it 8'),
    (dict(losses=dict(mixed=dict(type=Mixed))),
     r"'mixed' reads \['landmarks2d'\], but with stage='detail'"),
])
def test_configuration_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


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
