# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""SPyNet's training on true motion."""
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.benchmarks.synthtv.dataset import SynthTVDataset
from mmtvface.benchmarks.synthtv.flow_pairs import (
    FlowPairs,
    FlowPairSource,
    join_pairs,
    shift_frames,
)
from mmtvface.benchmarks.synthtv.flow_training import (
    FlowTraining,
    end_point_error,
    flow_errors,
    halve,
    mirror,
    new_spynet,
    pyramid_flow,
    roughness,
    save_spynet,
    train_flow,
)
from mmtvface.geometry.camera import ndc_to_pixel


class Shifts:
    """Noise that moves by a whole pixel, right or left: clip by clip."""

    def __init__(self):
        self.dataset = type('Clips', (), dict(
            clip_length=2, __len__=lambda _: 4))()

    def pairs(self, index, shifts=None):
        generator = torch.Generator().manual_seed(index)
        first = torch.rand(1, 3, 8, 8, generator=generator)
        first = F.interpolate(first, size=(32, 32), mode='bilinear')
        step = 1 if index % 2 else -1
        flow = torch.zeros(1, 2, 32, 32)
        flow[:, 0] = step
        second = first.roll(step, -1)
        return FlowPairs(torch.cat([second, first]),
                         torch.cat([first, second]),
                         torch.cat([-flow, flow]),
                         torch.ones(2, 32, 32, dtype=torch.bool))


class TinyPyramid(nn.Module):
    """SPyNet's shape with small levels; starts at zero flow."""

    def __init__(self):
        super().__init__()
        self.basic_module = nn.ModuleList()
        self.mean, self.std = .5, .25
        for _ in range(6):
            last = nn.Conv2d(24, 2, 3, padding=1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.basic_module.append(nn.Sequential(
                nn.Conv2d(8, 24, 5, padding=2), nn.ReLU(), last))

    def forward(self, first, second):
        return pyramid_flow(self.basic_module, first, second, self)


@pytest.fixture(scope='module')
def clips():
    return SynthTVDataset('val', 'easy', num_scenes=2, clip_length=3,
                          scene_length=3, with_vertices=True)


def test_end_point_error_is_the_mean_distance_of_valid_pixels():
    truth = torch.zeros(1, 2, 1, 3)
    flow = torch.tensor([[[[3., 0., 9.]], [[4., 2., 9.]]]])
    valid = torch.tensor([[[True, True, False]]])
    assert end_point_error(flow, truth, valid).item() == pytest.approx(3.5)
    nothing = torch.zeros_like(valid)
    assert end_point_error(flow, truth, nothing).item() == 0


def test_end_point_error_has_a_finite_gradient_at_the_truth():
    flow = torch.zeros(1, 2, 2, 2, requires_grad=True)
    end_point_error(flow, torch.zeros(1, 2, 2, 2),
                    torch.ones(1, 2, 2, dtype=torch.bool)).backward()
    assert flow.grad.isfinite().all()


def test_roughness_looks_at_unknown_neighbours_only():
    flow = torch.zeros(1, 2, 2, 3)
    flow[0, 0, 0] = torch.tensor([0., 5., 7.])
    valid = torch.ones(1, 2, 3, dtype=torch.bool)
    assert roughness(flow, valid).item() == 0
    valid[0, 0, 2] = False
    # to the left a difference of 2 of 8, below one of 7 of 6
    expected = pytest.approx(2 / 8 + 7 / 6)
    assert roughness(flow, valid).item() == expected
    assert roughness(flow.mT, valid.mT).item() == expected


def test_mirrored_pairs_move_the_other_way():
    pairs = Shifts().pairs(1)
    out = mirror(pairs)
    assert torch.equal(out.first, pairs.first.flip(-1))
    assert torch.equal(out.flow[:, 0], -pairs.flow[:, 0].flip(-1))
    # content at p of the first is at p + flow(p) in the second, still
    torch.testing.assert_close(out.second[1, :, :, 3], out.first[1, :, :, 4])
    assert out.flow[1, 0, 0, 4] == -1


@pytest.mark.parametrize('shared', [0, 20])
def test_training_lowers_the_error(shared):
    torch.manual_seed(0)
    source, net = Shifts(), TinyPyramid()
    before = flow_errors(net, source)
    assert before.trained == pytest.approx(before.zero, abs=1e-5)
    assert before.zero == pytest.approx(1, abs=1e-5)
    assert before.pixels == 4 * 2 * 32 * 32
    told = []
    train_flow(net, source,
               FlowTraining(iters=40, shared_iters=shared, settle_iters=20,
                            clips=2, lr=.003),
               lambda *numbers: told.append(numbers))
    after = flow_errors(net, source)
    assert after.trained < .8 * after.zero
    assert [step for step, *_ in told] == list(range(1, shared + 61))
    # half as many pixels at half the size
    assert told[0][2] == pytest.approx(.5 if shared else 1, abs=1e-5)


@pytest.mark.parametrize('iters', [1, 10])
def test_few_steps(iters):
    told = []
    train_flow(TinyPyramid(), Shifts(), FlowTraining(
        iters=iters, shared_iters=0, settle_iters=0, clips=1),
        lambda *numbers: told.append(numbers))
    assert len(told) == iters


def test_shared_training_gives_all_levels_the_same_start():
    net = TinyPyramid()
    train_flow(net, Shifts(), FlowTraining(iters=1, shared_iters=2,
                                           settle_iters=0, clips=1, lr=1e-9))
    for level in net.basic_module[1:]:
        torch.testing.assert_close(level[0].weight,
                                   net.basic_module[0][0].weight,
                                   atol=1e-6, rtol=0)


def test_pyramid_is_that_of_spynet():
    spynet = new_spynet()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for level in spynet.basic_module:
            last = level.basic_module[-1].conv
            last.weight.normal_(0, .01, generator=generator)
    first, second = torch.rand(2, 1, 3, 32, 64, generator=generator)
    expected = spynet(first, second)
    assert expected.abs().mean() > .1
    torch.testing.assert_close(
        pyramid_flow(spynet.basic_module, first, second, spynet), expected,
        atol=1e-4, rtol=1e-4)


def test_halved_pairs_move_half_as_many_pixels():
    pairs = Shifts().pairs(1)
    pairs.valid[0, 0, 1] = False
    out = halve(pairs)
    assert torch.equal(out.flow[1, 0], torch.full((16, 16), .5))
    assert not out.valid[0, 0, 0]
    assert out.valid.sum() == 2 * 16 * 16 - 1
    torch.testing.assert_close(out.first[0, 1, 2, 3],
                               pairs.first[0, 1, 4:6, 6:8].mean())


def test_spynet_starts_at_zero_flow_and_can_leave_it(tmp_path):
    spynet = new_spynet()
    pairs = Shifts().pairs(0)
    flow = spynet(pairs.first, pairs.second)
    assert flow.shape == (2, 2, 32, 32)
    assert not flow.any()
    (flow - pairs.flow).square().mean().backward()
    for level in spynet.basic_module:
        assert level.basic_module[-1].conv.weight.grad.any()
    assert torch.equal(spynet.state_dict()['basic_module.0.basic_module.0.'
                                           'conv.weight'],
                       new_spynet().state_dict()[
                           'basic_module.0.basic_module.0.conv.weight'])


def test_temporal_encoder_reads_the_saved_weights(tmp_path):
    from mmtvface.models.encoders import TemporalResNet
    spynet = new_spynet()
    with torch.no_grad():
        spynet.basic_module[5].basic_module[-1].conv.bias.copy_(
            torch.tensor([1., -2.]))
    path = save_spynet(spynet, tmp_path / 'new' / 'spynet.pth')
    encoder = TemporalResNet(
        mid_channels=4, depth=18, base_channels=4, num_blocks=1,
        num_extra_blocks=1, deform_groups=2, spynet_pretrained=str(path))
    encoder.init_weights()
    forward, backward = encoder.compute_flows(torch.rand(1, 3, 3, 64, 64))
    for flow in (forward, backward):
        assert flow.shape == (1, 2, 2, 32, 32)
        torch.testing.assert_close(
            flow, torch.tensor([1., -2.])[:, None, None].expand_as(flow))


def test_pairs_of_a_clip_follow_the_landmarks(clips):
    """Points of the face move as the flow says, in both directions."""
    source = FlowPairSource(clips)
    pairs = source.pairs(0)
    item = clips[0]
    small = F.interpolate(item['inputs'].float() / 255, scale_factor=.5,
                          mode='bicubic', align_corners=False)
    # from a later frame to the one before come first
    torch.testing.assert_close(pairs.first, small[[1, 2, 0, 1]])
    torch.testing.assert_close(pairs.second, small[[0, 1, 1, 2]])
    points = ndc_to_pixel(item['data_samples'].gt_landmarks[..., :2], 32)
    inner = points[:, 27:]  # nose, eyes and mouth
    motion = inner[1:] - inner[:-1]
    for flow, valid, at, truth in (
            (pairs.flow[:2], pairs.valid[:2], inner[1:], -motion),
            (pairs.flow[2:], pairs.valid[2:], inner[:-1], motion)):
        grid = ((2 * at + 1) / 32 - 1)[:, None]
        found = F.grid_sample(flow, grid, align_corners=False)[:, :, 0]
        known = F.grid_sample(valid[:, None].float(), grid,
                              align_corners=False)[:, 0, 0] > .99
        assert known.float().mean() > .8
        error = (found.mT - truth).norm(dim=-1)[known]
        assert error.mean() < .25 * truth.norm(dim=-1)[known].mean()


def test_shifted_frames_carry_their_flow_along(clips):
    """Frame 1 moves by 4 and -2 pixels: 2 and -1 at half the size."""
    source = FlowPairSource(clips)
    still = source.pairs(0)
    moved = source.pairs(0, torch.tensor([[0, 0], [4, -2], [0, 0]]))
    # from frame 0 to 1, on the same pixels
    both = still.valid[2] & moved.valid[2]
    assert both.sum() > 300
    torch.testing.assert_close(
        moved.flow[2][:, both],
        still.flow[2][:, both] + torch.tensor([[2.], [-1.]]))
    # from frame 1 to 0, on pixels that have moved too
    before, after = still.flow[0, :, 2:, :-2], moved.flow[0, :, 1:-1, 2:]
    both = still.valid[0, 2:, :-2] & moved.valid[0, 1:-1, 2:]
    assert both.sum() > 300
    torch.testing.assert_close(
        after[:, both], before[:, both] - torch.tensor([[2.], [-1.]]),
        atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.first[0, :, 3:-4, 5:-3],
                               still.first[0, :, 4:-3, 3:-5],
                               atol=1e-5, rtol=0)


def test_edges_of_shifted_frames_are_repeated():
    frame = torch.tensor([[1., 2, 3], [4, 5, 6]])[None, None]
    out = shift_frames(frame.repeat(2, 1, 1, 1),
                       torch.tensor([[1, 0], [-2, -1]]))
    assert out[:, 0].tolist() == [[[1, 1, 2], [4, 4, 5]],
                                  [[6, 6, 6], [6, 6, 6]]]


def test_covered_skin_is_not_valid(clips):
    source = FlowPairSource(clips)
    item = clips[0]
    assert source._clear(0, item).all()
    item['data_samples'].gt_masks = torch.zeros_like(
        item['data_samples'].gt_masks)
    skin = torch.from_numpy(clips.scenes[0].masks > 250)[:, None]
    assert skin.any()
    assert not (source._clear(0, item) & skin).any()
    # where there was no skin nothing is lost
    nothing = torch.from_numpy(clips.scenes[0].masks == 0)[:, None]
    assert source._clear(0, item)[nothing].all()


def test_joined_pairs_keep_their_order():
    parts = [Shifts().pairs(i) for i in range(2)]
    joined = join_pairs(parts)
    assert torch.equal(joined.first[2:], parts[1].first)
    assert joined.valid.shape == (4, 32, 32)


def test_bad_settings_are_named(clips):
    with pytest.raises(ValueError, match='iters must be at least 1.*0'):
        FlowTraining(iters=0)
    with pytest.raises(ValueError, match='lr must be positive.*nan'):
        FlowTraining(lr=math.nan)
    with pytest.raises(ValueError, match='shared_iters.*least 0.*-1'):
        FlowTraining(shared_iters=-1)
    with pytest.raises(ValueError, match='multiple of 32 . stride = 96'):
        FlowPairSource(clips, stride=3)
    with pytest.raises(ValueError, match='with_vertices=True'):
        FlowPairSource(SynthTVDataset('val', num_scenes=1))
