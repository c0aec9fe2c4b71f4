# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import copy

import pytest
import torch
from helpers.toy_head import save_toy_head, toy_head
from helpers.toy_reconstructor import (
    ToyFlame,
    toy_batch,
    toy_config,
    toy_rendering,
)
from mmengine.optim import OptimWrapper

from mmtvface.geometry.camera import project
from mmtvface.models.outputs import (
    CoarseOutputs,
    append_exchanged,
    random_exchange,
)
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

COARSE = dict(
    landmark=dict(type='LandmarkLoss'),
    eye=dict(type='EyeClosureLoss'),
    lip=dict(type='LipClosureLoss'),
    photometric=dict(type='PhotometricLoss'),
    shape_prior=dict(type='CodePriorLoss', name='shape'),
    light_prior=dict(type='LightPriorLoss'))


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(toy_config(**changes))


def run(model, batch, mode):
    return model(**model.data_preprocessor(batch), mode=mode)


def spy(module, method, calls):
    original = getattr(module, method)

    def wrapper(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    object.__setattr__(module, method, wrapper)


def test_pretraining_renders_nothing():
    model = build(**toy_rendering())
    calls = []
    spy(model.renderer, 'render', calls)
    spy(model.texture, 'forward', calls)
    losses = run(model, toy_batch(0, 1), 'loss')
    assert set(losses) == {'loss_landmark', 'shape_spread'}
    assert not calls
    # The parts for rendering may be absent altogether.
    other = build()
    assert other.renderer is None and other.texture is None
    assert torch.equal(
        run(other, toy_batch(0, 1), 'loss')['loss_landmark'],
        losses['loss_landmark'])


def test_coarse_losses_reach_every_weight():
    model = build(losses=COARSE, shape_consistency=True, **toy_rendering())
    losses = run(model, toy_batch(0, 1), 'loss')
    assert set(losses) == {f'loss_{name}' for name in COARSE} | {
        'shape_spread'}
    total, logged = model.parse_losses(losses)
    expected = sum(v for k, v in losses.items() if k != 'shape_spread')
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    last = model.layout.split(model.regressor.layers[2].weight.grad.T)
    for code in ('shape', 'tex', 'exp', 'pose', 'cam', 'light'):
        assert last[code].abs().sum() > 0, code


def test_training_reduces_the_loss():
    model = build(losses=COARSE, shape_consistency=True, **toy_rendering())
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), 3e-3))
    batch = toy_batch(0, 1)
    values = [
        model.train_step(copy.deepcopy(batch), wrapper)['loss_landmark']
        for _ in range(30)
    ]
    assert values[-1] < 0.7 * values[0]


def test_albedo_once_and_geometry_of_both_copies():
    model = build(losses=COARSE, shape_consistency=True, **toy_rendering())
    codes, albedos, renders = [], [], []
    spy(model.flame, 'forward', codes)
    spy(model.texture, 'forward', albedos)
    spy(model.renderer, 'render', renders)
    run(model, toy_batch(0, 1), 'loss')
    assert [len(args[0]) for args in albedos] == [6]
    assert [len(args[0]) for args in codes] == [12]
    assert [len(args[0]) for args in renders] == [12]
    shape, expression, _ = codes[0]
    assert torch.equal(expression[:6], expression[6:])
    assert not torch.equal(shape[:6], shape[6:])
    for clip in (slice(0, 3), slice(3, 6)):
        own = shape[:6][clip].sort(0).values
        assert torch.equal(shape[6:][clip].sort(0).values, own)


def test_exchange_is_a_permutation_within_clips():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = random_exchange(50, 4).view(50, 4)
    torch.set_rng_state(state)
    assert torch.equal(first, random_exchange(50, 4).view(50, 4))
    starts = torch.arange(50)[:, None] * 4
    assert torch.equal(first.sort(1).values, starts + torch.arange(4))
    assert len({tuple(row) for row in (first - starts).tolist()}) > 10
    codes = dict(shape=torch.arange(4.)[:, None], exp=torch.zeros(4, 2))
    both = append_exchanged(codes, torch.tensor([1, 0, 2, 3]))
    assert both['shape'].flatten().tolist() == [0, 1, 2, 3, 1, 0, 2, 3]
    assert both['exp'].shape == (8, 2)


def test_a_single_frame_is_not_doubled():
    model = build(shape_consistency=True)
    calls = []
    spy(model.flame, 'forward', calls)
    run(model, toy_batch(0, 1, num_frames=1), 'loss')
    assert len(calls[0][0]) == 2


def test_tensor_and_predict_agree_and_do_not_change_samples():
    model = build().eval()
    batch = toy_batch(0, 1, num_frames=2)
    with torch.no_grad():
        flat = run(model, dict(inputs=batch['inputs']), 'tensor')
        bare = run(model, dict(inputs=batch['inputs']), 'predict')
        full = model.val_step(batch)
    assert flat.shape == (2, 2, model.layout.total)
    assert len(bare) == len(full) == 2
    for index, (one, two) in enumerate(zip(bare, full, strict=True)):
        codes = model.layout.split(flat[index])
        for name, code in codes.items():
            assert torch.equal(two.pred_codes[name], code)
        assert two.clip_id == f'toy{index}' and 'clip_id' not in one
        assert torch.equal(one.pred_vertices, two.pred_vertices)
        head = model.flame(codes['shape'], codes['exp'], codes['pose'])
        assert torch.allclose(two.pred_vertices, head.vertices, atol=1e-6)
        ndc = project(head.landmarks3d, codes['cam'])
        assert torch.allclose(two.pred_landmarks3d, ndc, atol=1e-6)
        assert torch.allclose(
            two.pred_landmarks2d, ndc[..., :2], atol=1e-6)
        assert torch.equal(two.pred_cam, codes['cam'])
        assert two.gt_landmarks is not None
        assert 'pred_codes' not in batch['data_samples'][index]


def test_float32_behind_the_encoder_under_autocast():
    model = build(losses=COARSE, **toy_rendering())
    seen = []
    spy(model.flame, 'forward', seen)
    batch = model.data_preprocessor(toy_batch(0, 1))
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**batch, mode='loss')
        inside = model.encoder(batch['inputs'])
        codes = model(batch['inputs'])
    assert inside.dtype == torch.bfloat16
    assert not torch.equal(codes, codes.bfloat16().float())
    assert torch.equal(codes, model.regressor(inside.float()))
    assert all(value.dtype == torch.float32 for args in seen
               for value in args)
    assert all(value.dtype == torch.float32 for value in losses.values())


def test_a_bad_clip_is_named():
    batch = toy_batch(4, 7)
    batch['data_samples'][1].gt_landmarks[0, 0, 0] = float('inf')
    model = build()
    with pytest.raises(FloatingPointError,
                       match=r"loss_landmark.*toy4.*toy7.*codes are finite"):
        run(model, batch, 'loss')
    with torch.no_grad():
        model.regressor.layers[0].bias.fill_(float('nan'))
    with pytest.raises(FloatingPointError, match=r"codes of \['toy4'"):
        run(model, toy_batch(4), 'loss')


def test_broken_codes_are_named_behind_real_parts(tmp_path):
    # The head model chooses its contour by the (broken) pose, and a broken
    # face is not drawn, so that losses on the render alone are finite.
    save_toy_head(tmp_path, toy_head())
    model = build(
        head=dict(type='flame', root=tmp_path),
        regressor=toy_config()['regressor'] | dict(
            layout=dict(shape=10, tex=3, exp=5), init_cam=(8., 0., 0.)),
        flame=dict(type='FLAME', num_shape=10, num_expression=5),
        texture=dict(type='ToyTexture'),
        renderer=dict(type='MeshRenderer'),
        losses=dict(photometric=COARSE['photometric']))
    with torch.no_grad():
        model.regressor.layers[2].bias[10 + 3 + 5] = float('nan')
    with pytest.raises(FloatingPointError,
                       match=r"\['codes'\] are not.*codes of \['toy4'"):
        run(model, toy_batch(4), 'loss')


def test_skipping_a_bad_batch_leaves_the_weights():
    model = build(skip_nonfinite=True)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
    before = {k: v.clone() for k, v in model.named_parameters()}
    batch = toy_batch(0, 1)
    batch['data_samples'][1].gt_landmarks[0, 0, 0] = float('inf')
    assert model.train_step(batch, wrapper)['loss'] == 0
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]), name
    model.train_step(toy_batch(0, 1), wrapper)
    assert not torch.equal(model.regressor.layers[2].bias,
                           before['regressor.layers.2.bias'])


def test_targets():
    batch = toy_batch(0, 1)
    first, second = batch['data_samples']
    del first.gt_masks
    second.gt_masks = torch.zeros_like(second.gt_masks).byte()
    images = torch.rand(2, 3, 3, 32, 32)
    targets = Targets(images, batch['data_samples'], ToyFlame())
    assert torch.equal(targets.images, images.flatten(0, 1))
    assert targets.landmarks.shape == (6, 68, 3)
    assert targets.masks.dtype == torch.float32
    assert targets.masks.flatten(1).sum(1).tolist() == [1024.] * 3 + [0.] * 3
    assert targets.codes['shape'].shape == (6, 4)
    twice = Targets(images, batch['data_samples'], ToyFlame(), num_copies=2)
    for name in ('images', 'landmarks', 'masks', 'vertices',
                 'neutral_vertices'):
        assert torch.equal(getattr(twice, name),
                           torch.cat(2 * [getattr(targets, name)])), name
    del second.gt_masks, second.gt_vertices
    targets = Targets(images, batch['data_samples'], ToyFlame())
    assert targets.masks is None
    with pytest.raises(ValueError, match=r"'gt_vertices'.*\['toy1'\]"):
        _ = targets.vertices
    first.gt_landmarks = first.gt_landmarks[:2]
    with pytest.raises(ValueError, match=r"gt_landmarks of the clip 'toy0'"):
        _ = targets.landmarks


def test_overlay_teaches_the_shape_only():
    model = build(**toy_rendering())
    parts = {name: code[0].clone() for name, code in model.layout.split(
        torch.zeros(1, 1, model.layout.total)).items()}
    parts['cam'][:] = torch.tensor([8., 0., 0.])
    parts['light'][:, 0] = 3.
    parts['light'][:, 1:4] = .5
    parts = {name: code.requires_grad_() for name, code in parts.items()}
    images = torch.rand(1, 1, 3, 32, 32)
    outputs = CoarseOutputs(model, images, model.layout.join(parts)[None],
                            torch.zeros(1, 1, 8))
    mask = outputs.face_mask
    assert 0 < mask.mean() < 1
    inside = (mask == 1).expand_as(images[0])
    assert torch.allclose(outputs.overlay_images[inside],
                          outputs.rendered_images[inside], atol=1e-5)
    outside = (mask == 0).expand_as(images[0])
    assert torch.equal(outputs.overlay_images[outside], images[0][outside])
    outputs.overlay_images.square().sum().backward()
    assert parts['shape'].grad.abs().sum() > 0
    assert not parts['tex'].grad.any() and not parts['light'].grad.any()


def test_configuration_errors():
    photometric = dict(photometric=COARSE['photometric'])
    with pytest.raises(ValueError, match="'photometric' needs a renderer; "
                       'configure .*or leave the loss out'):
        run(build(losses=photometric), toy_batch(0), 'loss')
    parts = toy_rendering()
    with pytest.raises(ValueError, match='needs a texture'):
        run(build(losses=photometric, renderer=parts['renderer']),
            toy_batch(0), 'loss')
    with pytest.raises(ValueError, match="stage must be one of .*'fine'"):
        build(stage='fine')
    regressor = toy_config()['regressor'] | dict(shape_mode='clip')
    with pytest.raises(ValueError, match='shape_consistency'):
        build(regressor=regressor, shape_consistency=True)
    # Switched off in an inheriting config:
    model = build(losses=COARSE | dict(
        photometric=None,
        light_prior=dict(type='LightPriorLoss', loss_weight=0)))
    assert set(model.losses) == set(COARSE) - {'photometric', 'light_prior'}
    with pytest.raises(ValueError, match='mode'):
        run(model, toy_batch(0), 'train')
    with pytest.raises(ValueError, match='data samples'):
        run(model, dict(inputs=toy_batch(0)['inputs']), 'loss')
    with pytest.raises(ValueError, match='losses'):
        run(build(losses=None), toy_batch(0), 'loss')


class TestPreprocessor:

    @pytest.fixture
    def preprocessor(self):
        return MODELS.build(dict(type='FaceClipDataPreprocessor'))

    def test_bytes_and_floats(self, preprocessor):
        clip = torch.tensor([0, 51, 255], dtype=torch.uint8)
        clip = clip.view(1, 3, 1, 1).expand(2, 3, 4, 5)
        out = preprocessor(dict(inputs=[clip, clip]))
        assert out['inputs'].shape == (2, 2, 3, 4, 5)
        assert out['inputs'].dtype == torch.float32
        assert out['inputs'][0, 0, :, 0, 0].tolist() == pytest.approx(
            [0., .2, 1.])
        assert out['data_samples'] is None
        again = preprocessor(dict(inputs=out['inputs'].double()))
        assert torch.equal(again['inputs'], out['inputs'])

    def test_samples_move_with_their_codes(self, preprocessor):
        batch = toy_batch(0)
        preprocessor._device = torch.device('meta')
        out = preprocessor(batch)['data_samples'][0]
        assert out.gt_landmarks.is_meta and out.gt_codes['shape'].is_meta
        assert not batch['data_samples'][0].gt_codes['shape'].is_meta

    @pytest.mark.parametrize('inputs, message', [
        ([], 'no clip'),
        ([torch.zeros(3, 8, 8)], r'\(t, 3, H, W\).*\(3, 8, 8\)'),
        ([torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8)],
         r'\(2, 3, 8, 8\) and clip 1 is \(1, 3, 8, 8\)'),
        ([torch.zeros(2, 3, 8, 8, dtype=torch.int64)], 'int64'),
        ([torch.full((2, 3, 8, 8), 200.)], 'divide them by 255'),
        ([[0, 1]], 'list'),
    ])
    def test_errors(self, preprocessor, inputs, message):
        with pytest.raises(ValueError, match=message):
            preprocessor(dict(inputs=inputs))

    def test_batch_errors(self, preprocessor):
        with pytest.raises(ValueError, match="dict with \\['imgs'\\]"):
            preprocessor(dict(imgs=[]))
        batch = toy_batch(0, 1)
        batch['data_samples'].pop()
        with pytest.raises(ValueError, match='2 clips but 1 data samples'):
            preprocessor(batch)


def test_real_parts_from_files(tmp_path):
    save_toy_head(tmp_path, toy_head())
    layout = dict(shape=10, tex=3, exp=5)
    losses = COARSE | dict(
        smooth=dict(type='TemporalSmoothnessLoss', source='landmarks2d',
                    relative_to_target=True))
    model = build(
        encoder=dict(type='ResNetEncoder', depth=18, base_channels=8),
        regressor=dict(type='FLAMEHead', layout=layout, hidden_channels=16),
        flame=dict(type='FLAME', num_shape=10, num_expression=5),
        texture=dict(type='ToyTexture'),
        renderer=dict(type='MeshRenderer'),
        head=dict(type='flame', root=tmp_path),
        shape_consistency=True,
        losses=losses)
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
    batch = toy_batch(0, 1)
    logs = [
        model.train_step(copy.deepcopy(batch), wrapper) for _ in range(40)]
    assert set(logs[0]) == {f'loss_{name}' for name in losses} | {
        'loss', 'shape_spread'}
    for name in ('landmark', 'eye', 'photometric'):
        assert logs[-1][f'loss_{name}'] < 0.9 * logs[0][f'loss_{name}'], name
    result = model.val_step(batch)[0]
    assert result.pred_vertices.shape == (3, len(toy_head().model.v_template),
                                          3)
    # Licensed arrays stay out of checkpoints.
    assert not any(key.startswith(('flame.', 'renderer.'))
                   for key in model.state_dict())
