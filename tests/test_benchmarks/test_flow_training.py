# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""SPyNet's training on true motion."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import default_collate

from mmtvface.benchmarks.synthtv import SynthTVDataset
from mmtvface.benchmarks.synthtv.flow_pairs import (
    SynthTVFlowDataset,
    mirror_pairs,
    shift_frames,
)
from mmtvface.evaluation.metrics import FlowError
from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.geometry.optical_flow import end_point_error, roughness
from mmtvface.models.encoders import SPyNetFlow
from mmtvface.models.encoders.spynet_flow import halve, pyramid_flow


def moving_noise(index):
    """Noise that moves by a whole pixel, right or left: clip by clip."""
    generator = torch.Generator().manual_seed(index)
    first = torch.rand(1, 3, 8, 8, generator=generator)
    first = F.interpolate(first, size=(32, 32), mode='bilinear')
    step = 1 if index % 2 else -1
    flow = torch.zeros(1, 2, 32, 32)
    flow[:, 0] = step
    second = first.roll(step, -1)
    return dict(first=torch.cat([second, first]),
                second=torch.cat([first, second]),
                flow=torch.cat([-flow, flow]),
                valid=torch.ones(2, 32, 32, dtype=torch.bool),
                difficulty='hard')


def new_model(**options):
    model = SPyNetFlow(**options)
    torch.manual_seed(0)
    model.init_weights()
    return model


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
    return SynthTVFlowDataset('val', 'easy', num_scenes=2, clip_length=3,
                              scene_length=3)


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
    pairs = moving_noise(1)
    out = mirror_pairs(pairs)
    assert torch.equal(out['first'], pairs['first'].flip(-1))
    assert torch.equal(out['flow'][:, 0], -pairs['flow'][:, 0].flip(-1))
    # content at p of the first is at p + flow(p) in the second, still
    torch.testing.assert_close(out['second'][1, :, :, 3],
                               out['first'][1, :, :, 4])
    assert out['flow'][1, 0, 0, 4] == -1


def errors(model):
    """Of four clips, by the metric."""
    metric = FlowError()
    for index in range(4):
        with torch.no_grad():
            samples = model.val_step(default_collate([moving_noise(index)]))
        metric.process(None, samples)
    return metric.compute_metrics(metric.results)


def train(model, steps):
    """Losses of every step."""
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), .003),
                             clip_grad=dict(max_norm=1.))
    dice = torch.Generator().manual_seed(0)
    return [model.train_step(default_collate([
        moving_noise(int(i)) for i in torch.randint(4, (2, ), generator=dice)
    ]), optimizer) for _ in range(steps)]


@pytest.mark.parametrize('shared', [False, True])
def test_training_lowers_the_error(shared):
    torch.manual_seed(0)
    model = SPyNetFlow()
    model.spynet = TinyPyramid()
    if shared:
        first = SPyNetFlow(shared_level=True)
        first.spynet = TinyPyramid()
        first.spynet.basic_module = nn.ModuleList(
            [first.spynet.basic_module[0]] * 6)
        told = train(first, 20)
        # half as many pixels at half the size
        assert told[0]['zero_error'].item() == pytest.approx(.5, abs=1e-5)
        model.load_state_dict(first.state_dict())
    else:
        before = errors(model)
        assert before == pytest.approx(
            dict(hard_trained=1, hard_zero=1, hard_ratio=1), abs=1e-5)
    told = train(model, 60)
    assert told[0]['zero_error'].item() == pytest.approx(1, abs=1e-5)
    assert errors(model)['hard_ratio'] < .8


def test_shared_training_gives_all_levels_the_same_start():
    first = new_model(shared_level=True)
    assert sum(p.numel() for p in first.parameters()) == 240050
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(.01)
    model = new_model()
    model.load_state_dict(first.state_dict())
    levels = model.spynet.basic_module
    assert len({id(level) for level in levels}) == 6
    for level in levels:
        for ours, theirs in zip(level.parameters(), first.parameters(),
                                strict=True):
            assert torch.equal(ours, theirs)


def test_the_metric_counts_pixels():
    metric = FlowError()
    truth = torch.zeros(1, 2, 1, 4)
    truth[:, 0] = 2
    for valid, found in (([1, 1, 1, 0], 1.), ([1, 0, 0, 0], 0.)):
        metric.process(None, [dict(
            gt_flow=truth, pred_flow=truth + found * torch.tensor(
                [0., 1.])[:, None, None], difficulty='easy',
            valid=torch.tensor(valid, dtype=torch.bool)[None, None])])
    assert metric.compute_metrics(metric.results) == pytest.approx(dict(
        easy_trained=.75, easy_zero=2., easy_ratio=.375), abs=1e-5)
    metric.process(None, [dict(
        gt_flow=truth, pred_flow=truth, difficulty='hard',
        valid=torch.zeros(1, 1, 4, dtype=torch.bool))])
    with pytest.raises(ValueError, match="level 'hard'. Use more clips"):
        metric.compute_metrics(metric.results)


def test_pyramid_is_that_of_spynet():
    spynet = new_model().spynet
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
    pairs = moving_noise(1)
    pairs['valid'][0, 0, 1] = False
    first, second, flow, valid = halve(*(
        pairs[name] for name in ('first', 'second', 'flow', 'valid')))
    assert second.shape == (2, 3, 16, 16)
    assert torch.equal(flow[1, 0], torch.full((16, 16), .5))
    assert not valid[0, 0, 0]
    assert valid.sum() == 2 * 16 * 16 - 1
    torch.testing.assert_close(first[0, 1, 2, 3],
                               pairs['first'][0, 1, 4:6, 6:8].mean())


def test_spynet_starts_at_zero_flow_and_can_leave_it():
    model = new_model()
    batch = default_collate([moving_noise(0)])
    flow = model(batch['first'], batch['second'])
    assert flow.shape == (1, 2, 2, 32, 32)
    assert not flow.any()
    (flow - batch['flow']).square().mean().backward()
    for level in model.spynet.basic_module:
        assert level.basic_module[-1].conv.weight.grad.any()
    name = 'spynet.basic_module.0.basic_module.0.conv.weight'
    assert torch.equal(model.state_dict()[name],
                       new_model().state_dict()[name])


def test_temporal_encoder_reads_the_saved_weights(tmp_path):
    from mmtvface.models.encoders import TemporalResNet
    model = new_model()
    with torch.no_grad():
        model.spynet.basic_module[5].basic_module[-1].conv.bias.copy_(
            torch.tensor([1., -2.]))
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
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
    pairs = clips.pairs(0)
    item = SynthTVDataset.__getitem__(clips, 0)
    small = F.interpolate(item['inputs'].float() / 255, scale_factor=.5,
                          mode='bicubic', align_corners=False)
    # from a later frame to the one before come first
    torch.testing.assert_close(pairs['first'], small[[1, 2, 0, 1]])
    torch.testing.assert_close(pairs['second'], small[[0, 1, 1, 2]])
    points = ndc_to_pixel(item['data_samples'].gt_landmarks[..., :2], 32)
    inner = points[:, 27:]  # nose, eyes and mouth
    motion = inner[1:] - inner[:-1]
    for flow, valid, at, truth in (
            (pairs['flow'][:2], pairs['valid'][:2], inner[1:], -motion),
            (pairs['flow'][2:], pairs['valid'][2:], inner[:-1], motion)):
        grid = ((2 * at + 1) / 32 - 1)[:, None]
        found = F.grid_sample(flow, grid, align_corners=False)[:, :, 0]
        known = F.grid_sample(valid[:, None].float(), grid,
                              align_corners=False)[:, 0, 0] > .99
        assert known.float().mean() > .8
        error = (found.mT - truth).norm(dim=-1)[known]
        assert error.mean() < .25 * truth.norm(dim=-1)[known].mean()


def test_shifted_frames_carry_their_flow_along(clips):
    """Frame 1 moves by 4 and -2 pixels: 2 and -1 at half the size."""
    still = clips.pairs(0)
    moved = clips.pairs(0, torch.tensor([[0, 0], [4, -2], [0, 0]]))
    # from frame 0 to 1, on the same pixels
    both = still['valid'][2] & moved['valid'][2]
    assert both.sum() > 300
    torch.testing.assert_close(
        moved['flow'][2][:, both],
        still['flow'][2][:, both] + torch.tensor([[2.], [-1.]]))
    # from frame 1 to 0, on pixels that have moved too
    before, after = still['flow'][0, :, 2:, :-2], moved['flow'][0, :, 1:-1, 2:]
    both = still['valid'][0, 2:, :-2] & moved['valid'][0, 1:-1, 2:]
    assert both.sum() > 300
    torch.testing.assert_close(
        after[:, both], before[:, both] - torch.tensor([[2.], [-1.]]),
        atol=1e-3, rtol=0)
    torch.testing.assert_close(moved['first'][0, :, 3:-4, 5:-3],
                               still['first'][0, :, 4:-3, 3:-5],
                               atol=1e-5, rtol=0)


def test_edges_of_shifted_frames_are_repeated():
    frame = torch.tensor([[1., 2, 3], [4, 5, 6]])[None, None]
    out = shift_frames(frame.repeat(2, 1, 1, 1),
                       torch.tensor([[1, 0], [-2, -1]]))
    assert out[:, 0].tolist() == [[[1, 1, 2], [4, 4, 5]],
                                  [[6, 6, 6], [6, 6, 6]]]


def test_covered_skin_is_not_valid(clips):
    sample = SynthTVDataset.__getitem__(clips, 0)['data_samples']
    assert clips._clear(0, sample).all()
    sample.gt_masks = torch.zeros_like(sample.gt_masks)
    skin = torch.from_numpy(clips.scenes[0].masks > 250)[:, None]
    assert skin.any()
    assert not (clips._clear(0, sample) & skin).any()
    # where there was no skin nothing is lost
    nothing = torch.from_numpy(clips.scenes[0].masks == 0)[:, None]
    assert clips._clear(0, sample)[nothing].all()


def test_items_are_shifted_and_mirrored_by_chance(clips):
    plain = clips[1]
    assert plain['difficulty'] == 'easy'
    options = dict(num_scenes=2, clip_length=3, scene_length=3)
    turned = SynthTVFlowDataset('val', 'easy', mirrored=1., **options)[1]
    assert torch.equal(turned['first'], plain['first'].flip(-1))
    moving = SynthTVFlowDataset('val', 'easy', shifted=1., max_shift=4,
                                **options)
    still = SynthTVFlowDataset('val', 'easy', shifted=1., max_shift=0,
                               **options)
    speed = plain['flow'].norm(dim=1)[plain['valid']].mean()
    torch.testing.assert_close(still[1]['flow'], plain['flow'])
    item = moving[1]
    assert item['flow'].norm(dim=1)[item['valid']].mean() > 1.5 * speed
    assert torch.equal(moving[1]['flow'], item['flow'])


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match='multiple of 32 . stride = 96'):
        SynthTVFlowDataset('val', num_scenes=1, stride=3)
    with pytest.raises(ValueError, match='max_shift.*-1'):
        SynthTVFlowDataset('val', num_scenes=1, max_shift=-1)
