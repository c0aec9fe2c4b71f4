# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
import torch.nn.functional as F
from toy_encoders import randomize_alignment, tiny

from mmtvface.models.encoders import propagation as prop
from mmtvface.registry import MODELS


# ---------------------------------------------------------------- names
def expected_names():
    norm = ('weight', 'bias', 'running_mean', 'running_var',
            'num_batches_tracked')
    conv = ('weight', 'bias')

    def block(prefix):
        return [f'{prefix}.{c}.{p}' for c in ('conv1', 'conv2')
                for p in conv] + [f'{prefix}.bn.{p}' for p in norm]

    names = ['spynet.mean', 'spynet.std']
    names += [f'spynet.basic_module.{i}.basic_module.{j}.conv.{p}'
              for i in range(6) for j in range(5) for p in conv]
    names += [f'{m}.{p}' for m in ('head', 'down1.1', 'down2.1')
              for p in conv]
    for m in ('down1.0', 'down2.0'):
        for i in range(5):
            names += block(f'{m}.{i}')
    branches = ('backward_1', 'forward_1', 'backward_2', 'forward_2')
    for b in branches:
        names += [f'rnn.deform_align.{b}.{p}' for p in conv]
        names += [f'rnn.deform_align.{b}.conv_offset.{i}.{p}'
                  for i in (0, 2, 4, 6) for p in conv]
    for m in [f'backbone.{b}' for b in branches] + ['fusion']:
        names += [f'rnn.{m}.main.0.{p}' for p in conv]
        for i in range(5):
            names += block(f'rnn.{m}.main.2.{i}')
    names += [f'bn1.{p}' for p in norm]
    for layer, count in zip((1, 2, 3, 4), (3, 4, 6, 3), strict=True):
        for i in range(count):
            for k in (1, 2, 3):
                names.append(f'layer{layer}.{i}.conv{k}.weight')
                names += [f'layer{layer}.{i}.bn{k}.{p}' for p in norm]
        names.append(f'layer{layer}.0.downsample.0.weight')
        names += [f'layer{layer}.0.downsample.1.{p}' for p in norm]
    return names


def test_names_and_shapes_of_the_published_network():
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='TemporalResNet'))
    state = encoder.state_dict()
    assert sorted(state) == sorted(expected_names())
    shapes = {
        'head.weight': (64, 3, 3, 3),
        'down1.1.weight': (64, 64, 3, 3),
        'rnn.deform_align.forward_2.weight': (64, 128, 3, 3),
        'rnn.deform_align.forward_2.conv_offset.0.weight': (64, 196, 3, 3),
        'rnn.deform_align.forward_2.conv_offset.6.weight': (432, 64, 3, 3),
        'rnn.backbone.backward_1.main.0.weight': (64, 128, 3, 3),
        'rnn.backbone.forward_2.main.0.weight': (64, 320, 3, 3),
        'rnn.fusion.main.0.weight': (64, 320, 3, 3),
        'layer1.0.conv1.weight': (64, 64, 1, 1),
        'layer4.2.conv3.weight': (2048, 512, 1, 1),
    }
    assert {k: tuple(state[k].shape) for k in shapes} == shapes
    assert encoder.out_channels == 2048
    assert (encoder.head.stride, encoder.down1[1].stride,
            encoder.down2[1].stride) == ((1, 1), (2, 2), (2, 2))


# ------------------------------------------------- independent reference
def naive_sample(image, x, y):
    """Bilinear, zero outside; image (C, h, w), x and y (h, w) pixels."""
    height, width = image.shape[-2:]
    result = 0
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = x.floor() + dx, y.floor() + dy
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = ((column >= 0) & (column < width) & (row >= 0)
                      & (row < height))
            values = image[:, row.clamp(0, height - 1).long(),
                           column.clamp(0, width - 1).long()]
            result = result + values * (weight * inside)
    return result


def naive_warp(image, flow):
    y, x = torch.meshgrid(*(torch.arange(s, dtype=image.dtype)
                            for s in image.shape[-2:]), indexing='ij')
    return naive_sample(image, x + flow[0], y + flow[1])


def naive_alignment(align, x, guide, flow_1, flow_2):
    """Deformable convolution with offset = flow + 10 tanh(residue)."""
    groups, (height, width) = align.deform_groups, x.shape[-2:]
    out = align.conv_offset(torch.cat([guide, flow_1, flow_2])[None])[0]
    # half of the groups belongs to the last feature, half to the one before
    residues = align.max_residue_magnitude * out[:18 * groups].tanh()
    residues = residues.view(groups, 9, 2, height, width)
    masks = out[18 * groups:].sigmoid().view(groups, 9, height, width)
    base_y, base_x = torch.meshgrid(
        torch.arange(height, dtype=x.dtype),
        torch.arange(width, dtype=x.dtype), indexing='ij')
    result = align.bias[:, None, None].expand(-1, height, width).clone()
    per_group = x.shape[0] // groups
    for g in range(groups):
        flow = flow_1 if g < groups // 2 else flow_2
        channels = slice(g * per_group, (g + 1) * per_group)
        for tap in range(9):
            sampled = masks[g, tap] * naive_sample(
                x[channels],
                base_x + tap % 3 - 1 + residues[g, tap, 1] + flow[0],
                base_y + tap // 3 - 1 + residues[g, tap, 0] + flow[1])
            result = result + torch.einsum(
                'oc,chw->ohw', align.weight[:, channels, tap // 3, tap % 3],
                sampled)
    return result


def naive_propagation(rnn, features, forward, backward):
    """BasicVSR++ on one clip (t, C, h, w), frame by frame."""
    t, c, height, width = features.shape
    known = [features]
    for name in ('backward_1', 'forward_1', 'backward_2', 'forward_2'):
        towards = -1 if name.startswith('forward') else 1
        done = {}
        for i in (range(t) if towards < 0 else reversed(range(t))):
            first, second = i + towards, i + 2 * towards
            zero = torch.zeros(c, height, width, dtype=features.dtype)
            carried = zero
            if first in done:
                flow_1 = forward[i - 1] if towards < 0 else backward[i]
                flow_2, before, guide_2 = torch.zeros_like(flow_1), zero, zero
                if second in done:
                    last = (forward[i - 2] if towards < 0
                            else backward[i + 1])
                    flow_2 = flow_1 + naive_warp(last, flow_1)
                    before = done[second]
                    guide_2 = naive_warp(before, flow_2)
                guide = torch.cat([
                    naive_warp(done[first], flow_1), features[i], guide_2])
                carried = naive_alignment(
                    rnn.deform_align[name],
                    torch.cat([done[first], before]), guide, flow_1, flow_2)
            inputs = torch.cat([x[i] for x in known] + [carried])
            done[i] = carried + rnn.backbone[name](inputs[None])[0]
        known.append(torch.stack([done[i] for i in range(t)]))
    return rnn.fusion(torch.cat(known, 1))


@pytest.mark.parametrize('t', [1, 2, 4])
@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')])
def test_propagation_equals_the_equations(t, norm_cfg):
    torch.manual_seed(t)
    rnn = randomize_alignment(
        prop.SecondOrderPropagation(
            4, 1, 2, norm_cfg, deform_groups=2)).double().eval()
    features = torch.randn(2, t, 4, 6, 7, dtype=torch.float64)
    flows = tuple(2 * torch.randn(2, max(t - 1, 0), 2, 6, 7).double()
                  for _ in range(2))
    with torch.no_grad():
        result = rnn(features, flows if t > 1 else None)
        for i in range(2):
            expected = naive_propagation(rnn, features[i], flows[0][i],
                                         flows[1][i])
            torch.testing.assert_close(result[i], expected)


def test_no_flow_is_zero_flow():
    torch.manual_seed(0)
    rnn = randomize_alignment(
        prop.SecondOrderPropagation(4, 1, 1, deform_groups=2)).double()
    features = torch.randn(1, 3, 4, 5, 6, dtype=torch.float64)
    zero = torch.zeros(1, 2, 2, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(rnn(features, None),
                               rnn(features, (zero, zero)))


def test_propagation_equals_mmagic():
    net = prop.plusplus.BasicVSRPlusPlusNet(mid_channels=8, num_blocks=1)
    randomize_alignment(net).eval()
    rnn = prop.SecondOrderPropagation(8, 1, 5).eval()
    for name in ('deform_align', 'backbone'):
        getattr(rnn, name).load_state_dict(getattr(net, name).state_dict())
    rnn.fusion.load_state_dict(net.reconstruction.state_dict())
    features = torch.randn(2, 3, 8, 8, 10)
    flows = torch.randn(2, 2, 2, 2, 8, 10).unbind(0)
    net.cpu_cache = False
    known = dict(spatial=list(features.unbind(1)))
    with torch.no_grad():
        for name in ('backward_1', 'forward_1', 'backward_2', 'forward_2'):
            known[name] = []
            known = net.propagate(known, flows[name.startswith('backward')],
                                  name)
        expected = torch.stack([
            net.reconstruction(torch.cat([x[i] for x in known.values()], 1))
            for i in range(3)
        ], 1)
        torch.testing.assert_close(rnn(features, flows), expected)


# ------------------------------------------------- the encoder
@pytest.mark.parametrize('kwargs', [
    dict(), dict(norm_cfg=None), dict(with_flow=False),
    dict(with_alignment=False), dict(propagation_stride=2),
    dict(deform_op='grid_sample')])
@pytest.mark.parametrize('shape', [(2, 1, 3, 32, 64), (1, 3, 3, 32, 32)])
def test_forward_and_backward(kwargs, shape):
    encoder = randomize_alignment(tiny(**kwargs))
    encoder(torch.rand(shape)).square().sum().backward()
    assert encoder.head.weight.grad.abs().max() > 0
    has_align = kwargs.get('with_alignment', True)
    assert any('deform_align' in n for n in encoder.state_dict()) == has_align
    if has_align and shape[1] > 2:
        for align in encoder.rnn.deform_align.values():
            assert align.weight.grad.abs().max() > 0
            assert align.conv_offset[0].weight.grad.abs().max() > 0


def test_single_frames_give_every_parameter_a_gradient(monkeypatch):
    # DistributedDataParallel stops where one is missing.
    clips = torch.rand(2, 1, 3, 32, 64)
    alone = tiny()(clips)
    monkeypatch.setattr(prop, 'is_distributed', lambda: True)
    encoder = tiny()
    features = encoder(clips)
    assert torch.equal(features, alone)
    features.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_every_frame_sees_the_whole_clip_and_only_it():
    encoder = tiny().eval()
    clips = torch.rand(2, 5, 3, 32, 32, requires_grad=True)
    features = encoder(clips)
    assert features.shape == (2, 5, 32)
    for i, j in ((0, 4), (4, 0), (2, 2)):
        grad, = torch.autograd.grad(features[0, i].sum(), clips,
                                    retain_graph=True)
        assert grad[0, j].abs().max() > 0
        assert grad[1].abs().max() == 0
    with torch.no_grad():
        torch.testing.assert_close(encoder(clips[1:])[0], features[1])


def test_a_grid_of_averages_knows_where_things_are():
    coarse, fine = tiny().eval(), tiny(pool_size=2).eval()
    assert fine.state_dict().keys() == coarse.state_dict().keys()
    assert (coarse.out_channels, fine.out_channels) == (32, 128)
    clips = torch.zeros(1, 2, 3, 64, 64)
    clips[0, 0, :, :32, :32] = 1  # only in the first frame, upper left
    with torch.no_grad():
        cells = fine(clips).unflatten(-1, (32, 2, 2))
        torch.testing.assert_close(cells.mean((-2, -1)), coarse(clips))
    others = cells[0, 0].flatten(1)
    change = (others - cells[0, 1].flatten(1)).abs().sum(0)
    assert change.argmax() == 0


@pytest.mark.parametrize('size', [0, -1])
def test_a_grid_needs_a_cell(size):
    with pytest.raises(ValueError, match=f'pool_size.*{size}'):
        tiny(pool_size=size)


def test_float64_and_autocast():
    encoder = randomize_alignment(tiny(norm_cfg=None)).eval()
    clips = torch.rand(1, 3, 3, 32, 32)
    with torch.no_grad():
        features = encoder(clips)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = encoder(clips)
        precise = encoder.double()(clips.double())
    torch.testing.assert_close(features.double(), precise, rtol=1e-3,
                               atol=1e-4)
    error = (mixed.float() - features).norm() / features.norm()
    assert error < 0.05


def test_recomputation_changes_nothing_but_memory():
    clips = torch.rand(1, 3, 3, 32, 32)
    states, grads = [], []
    for with_cp in (False, True):
        encoder = randomize_alignment(tiny(with_cp=with_cp))
        features = encoder(clips)
        features.square().sum().backward()
        states.append(encoder.state_dict())
        grads.append({n: p.grad for n, p in encoder.named_parameters()
                      if p.grad is not None})
    torch.testing.assert_close(states[1], states[0])
    assert grads[0].keys() == grads[1].keys()
    torch.testing.assert_close(grads[1], grads[0])
    count = 'rnn.backbone.forward_1.main.2.0.bn.num_batches_tracked'
    assert states[1][count] == 3


def test_input_norm_is_not_for_the_flows(monkeypatch):
    encoder = tiny(input_norm='imagenet')
    seen = []
    monkeypatch.setattr(encoder.spynet, 'forward', lambda a, b:
                        seen.append(a) or torch.zeros_like(a[:, :2]))
    clips = torch.rand(1, 2, 3, 32, 32)
    encoder(clips)
    expected = F.interpolate(clips[0], scale_factor=0.25, mode='bicubic')
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize(('shape', 'message'), [
    ((1, 2, 3, 48, 64), 'multiples of 32.*48x64'),
    ((2, 3, 32, 32), r'\(n, t, 3, H, W\)'),
    ((1, 2, 1, 32, 32), r'\(n, t, 3, H, W\)'),
    ((1, 0, 3, 32, 32), 'at least one clip of one frame'),
])
def test_clip_errors(shape, message):
    with pytest.raises(ValueError, match=message):
        tiny(with_alignment=False)(torch.rand(shape))
