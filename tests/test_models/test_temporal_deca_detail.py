# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import copy

import pytest
import torch
from helpers.toy_reconstructor import toy_batch, toy_config
from mmengine.optim import OptimWrapper
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

from mmtvface.geometry.lighting import sh_shading
from mmtvface.registry import MODELS

TRUTH = dict(truth=dict(type='DisplacementLoss'))


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
    for name in ('encoder', 'regressor', 'flame', 'texture', 'renderer'):
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
    model = build(losses=dict(all=dict(type='CaptureDetail')),
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
    pose = heads[0][2]
    assert torch.equal(jaw[:6], pose[:, 3:])
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
    model = build(losses=dict(all=dict(type='CaptureDetail')),
                  detail_consistency=True)
    run(model, batch(0, 1, num_frames=1), 'loss')
    assert len(model.losses['all'].seen[0]['displacement']) == 2


def test_outputs_equal_the_formulas():
    model = build(losses=dict(all=dict(type='CaptureDetail')),
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
    model = build(losses=dict(all=dict(type='CaptureDetail')))
    data = batch(0)
    with torch.no_grad():
        # One turned head, one that is half outside of the image.
        model.regressor.layers[2].weight.zero_()
        bias = model.layout.split(model.regressor.layers[2].bias)
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
    colors = targets['uv_images'] * 2 - 1
    both = inside.expand(-1, 2, -1, -1)
    torch.testing.assert_close(colors[:, :2][both], ndc[:, :2][both])
    # The mask falls from row 15 to row 16, the centres at -1/32 and 1/32.
    skin = (.5 - 16 * ndc[:, 1:2]).clamp(0, 1)
    assert ((skin > .1) & (skin < .9) & inside & (seen == 1)).any()
    expected = seen * skin * model.detail.surface.uv_face_eye_mask
    torch.testing.assert_close(targets['uv_visibility'][inside],
                               expected[inside], rtol=0, atol=1e-5)
    far = (ndc[:, :2].abs() > 33 / 32).any(1, keepdim=True)
    assert far.any() and not targets['uv_visibility'][far].any()
    assert (seen == 0)[inside & (skin == 1)].any(), 'nothing looks away'


def test_without_masks_all_pixels_count():
    model = build(losses=dict(all=dict(type='CaptureDetail')))
    data = batch(0)
    run(model, data, 'loss')
    full = model.losses['all'].seen[1]['uv_visibility']
    assert full.max() == 1
    del data['data_samples'][0].gt_masks
    run(model, data, 'loss')
    assert torch.equal(model.losses['all'].seen[1]['uv_visibility'], full)


def test_occlusion_is_an_option():
    model, other = (
        build(losses=dict(all=dict(type='CaptureDetail')),
              detail=branch(occlusion=occlusion))
        for occlusion in (False, True))
    for m in (model, other):
        with torch.no_grad():
            m.regressor.layers[2].weight.zero_()
            # Almost in profile, the far side lies behind the nose.
            m.layout.split(m.regressor.layers[2].bias)['pose'][1] = 1.2
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
