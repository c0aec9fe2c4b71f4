# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Refinement of codes on landmarks, with the built-in head."""

from dataclasses import replace

import pytest
import torch

from mmtvface.evaluation.functional import (
    acceleration_error,
    box_size,
    score_clip,
)
from mmtvface.fitting import (
    RefineSettings,
    refine_identity,
    refine_motion,
    refine_track,
)
from mmtvface.fitting.chain import markov_prior, solve_chain
from mmtvface.fitting.landmark_errors import (
    biweight,
    landmark_covariance,
    shaking,
)
from mmtvface.fitting.refine import misses, size_slope
from mmtvface.geometry.camera import project
from mmtvface.geometry.landmarks import STATIC
from mmtvface.heads import FLAME, LandmarkHead

FRAMES = 14


@pytest.fixture(scope='module')
def flame():
    return FLAME('procedural', None, 8, 6).requires_grad_(False)


def draw(seed, *size):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope='module')
def truth(flame):
    """Codes of a person who moves, and its landmarks (T, 68, 3)."""
    time = torch.linspace(0, 3, FRAMES)[:, None]
    codes = dict(
        shape=draw(0, 1, 8).repeat(FRAMES, 1),
        exp=.7 * (time + draw(1, 1, 6)).sin(),
        pose=.2 * (time * .7 + draw(2, 1, 6)).sin(),
        cam=torch.tensor([8., .01, .02]).repeat(FRAMES, 1))
    head = flame(codes['shape'], codes['exp'], codes['pose'])
    points = project(head.landmarks2d, codes['cam'])
    points[..., 2] = 1
    return codes, points


@pytest.fixture(scope='module')
def regressed(truth):
    """Codes that are wrong by something constant, something slow, noise."""
    time = torch.linspace(0, 1, FRAMES)[:, None]
    codes = dict(truth[0], light=draw(8, FRAMES, 9, 3))
    for seed, (name, size) in enumerate(dict(
            shape=1., exp=.4, pose=.08, cam=.01).items()):
        width = codes[name].shape[1]
        slow = 0 if name == 'shape' else time
        codes[name] = codes[name] + size * (
            draw(10 + seed, 1, width) + slow * draw(20 + seed, 1, width))
    codes['pose'] = codes['pose'] + .003 * draw(9, FRAMES, 6)
    return codes


def test_landmarks_and_derivatives_are_those_of_the_head(flame, truth):
    codes, points = truth
    head = LandmarkHead(flame)
    state = head.state(codes)
    for name, value in head.codes(state).items():
        assert torch.allclose(value, codes[name])
    rows = head.contour_rows(state)
    assert torch.allclose(head.points(state, rows), points[..., :2],
                          atol=1e-6)
    found, slopes = head.linearise(state[:2], rows[:2])
    assert slopes.shape == (2, 68, 2, head.size)
    precise = LandmarkHead(FLAME('procedural', None, 8, 6).double())
    near = state[:2].double()
    for index in range(0, head.size, 3):
        step = torch.zeros(head.size, dtype=torch.float64)
        step[index] = 1e-5
        expected = (precise.points(near + step, rows[:2])
                    - precise.points(near - step, rows[:2])) / 2e-5
        assert torch.allclose(slopes[..., index].double(), expected,
                              atol=1e-4)


def test_errors_fall_and_the_head_is_calm(flame, truth, regressed):
    codes, points = truth
    noisy = points[..., :2] + .01 * draw(5, FRAMES, 68, 2)
    refined = refine_track(flame, regressed, noisy, 25.,
                           RefineSettings(familiar=1.))
    before, after = (score_clip(flame, dict(one), codes, points)
                     for one in (regressed, refined))
    assert after['nme'] < .5 * before['nme']
    assert after['posed_mm'] < .6 * before['posed_mm']
    assert after['neutral_mm'] < before['neutral_mm']
    # As much as these landmarks say, which have no errors in common
    all_of_it = refine_track(flame, regressed, noisy, 25., RefineSettings(
        views=FRAMES, size=1., shape=.7, lasting=.01, expression=.7,
        familiar=1.))
    assert score_clip(flame, all_of_it, codes, points)['neutral_mm'] < (
        .8 * before['neutral_mm'])
    # The landmarks of the refined head do not shake as the given ones do.
    head = flame(refined['shape'], refined['exp'], refined['pose'])
    found = project(head.landmarks2d, refined['cam'])[..., :2]
    shaking, given = (acceleration_error(one, points[..., :2]).mean()
                      for one in (found, noisy))
    assert shaking < .5 * given
    # One person, and nothing is changed in place or that is not its business
    assert (refined['shape'] == refined['shape'][0]).all()
    assert torch.equal(refined['light'], regressed['light'])
    exact = refine_track(flame, codes, points[..., :2], 25.)
    assert score_clip(flame, exact, codes, points)['posed_mm'] < .05


def test_fast_motion_is_followed(flame, truth):
    """A jaw that opens in every other frame, which the network misses."""
    codes, _ = truth
    acted = dict(codes, pose=codes['pose'].clone())
    acted['pose'][:, 3] = .3 * (torch.arange(FRAMES) % 2)
    head = flame(acted['shape'], acted['exp'], acted['pose'])
    points = project(head.landmarks2d, acted['cam'])[..., :2]
    still = dict(acted, pose=acted['pose'].clone())
    still['pose'][:, 3] = .15
    jaw = refine_motion(flame, still, points, 25.,
                        RefineSettings())['pose'][:, 3]
    assert jaw.std() > .8 * acted['pose'][:, 3].std()


def test_many_frames_say_no_more_than_a_few(flame, truth, regressed):
    _, points = truth
    settings = RefineSettings(views=2., familiar=1.)

    def shape(part, **changes):
        return refine_identity(
            flame, {name: code[part] for name, code in regressed.items()},
            points[part, :, :2], RefineSettings(familiar=1., **changes))

    two = torch.tensor([3, 9])
    assert torch.allclose(shape(two, views=2.),
                          shape(two.repeat(5), views=2.), atol=1e-4)
    moved = [(shape(two, views=views) - regressed['shape'][0]).norm()
             for views in (.02, .2, 2.)]
    assert moved[0] < moved[1] < moved[2]
    # The contour tells the pose and not the person.
    other = points.clone()
    other[:, 1:8] += .02
    other[:, 9:16] += .02  # the ends keep the box as it is
    same, base = (refine_identity(flame, regressed, one[..., :2], settings)
                  for one in (other, points))
    assert torch.allclose(same, base, atol=.02)


def test_size_is_not_read_off_pictures(flame, truth, regressed):
    _, points = truth
    head = LandmarkHead(flame)
    slope = size_slope(head)
    # By hand: the landmarks of a slightly changed mean head
    shapes = torch.cat([torch.zeros(1, 8), .01 * torch.eye(8)])
    seen = flame(shapes, torch.zeros(9, 6), torch.zeros(9, 6)
                 ).landmarks2d[..., :2].double()
    size = (seen - seen.mean(1, keepdim=True)).square().sum((1, 2)).sqrt()
    assert torch.allclose(100 * (size[1:] / size[0]).log(), slope, atol=2e-3)
    known = RefineSettings(familiar=1.)
    change = refine_identity(flame, regressed, points[..., :2],
                             known) - regressed['shape'][0]
    free = refine_identity(flame, regressed, points[..., :2],
                           replace(known, size=10.)) - regressed['shape'][0]
    assert abs(slope @ change.double()) < .005
    assert abs(slope @ free.double()) > 2 * abs(slope @ change.double())


def test_identities_of_strange_pictures_are_not_believed(flame, truth):
    codes, points = truth
    head = LandmarkHead(flame)
    bent = points[..., :2] + .02 * draw(5, 1, 68, 2)
    near, far = (misses(head, head.state(codes), part + .1)
                 for part in (points[..., :2], bent))
    assert near < 1e-4 < .01 < far  # whole faces may be elsewhere
    box = box_size(points[..., :2]).mean()
    away = (bent - points[..., :2])[0, list(STATIC)]
    assert far == pytest.approx(
        ((away - away.mean(0)).norm(dim=-1).median() / box).item(), rel=.1)
    kept, left = (refine_identity(
        flame, codes, part, RefineSettings(
            familiar=far / 2, own=1e-4, shape=1e-6))
        for part in (points[..., :2], bent))
    assert torch.allclose(kept, codes['shape'][0], atol=1e-3)
    assert left.norm() < .01 * kept.norm()
    strict = RefineSettings(familiar=.02, own=.01)
    assert strict.trust((.02**2 + 2 * .01**2)**.5) == pytest.approx(.5)
    assert strict.trust(.01) == 1
    assert strict.trust(.04) < .01
    assert RefineSettings().trust(float('nan')) == 1


def test_errors_of_neighbours_go_together():
    layout = torch.rand(68, 2, generator=torch.Generator().manual_seed(0))
    layout[41] = layout[37] + torch.tensor([0., .12])
    layout[8] = layout[37]
    shared, own = landmark_covariance(layout, shared=.03, reach=.12, own=.01,
                                      contour=.06)
    assert own[37].item() == pytest.approx(.01**2)
    assert own[8].item() == pytest.approx(.06**2)
    assert shared[37, 41].item() == pytest.approx(.03**2 * .60653, rel=1e-4)
    assert shared[37, 8].item() == pytest.approx(.03**2)
    assert torch.equal(shared, shared.T)


def test_shaking_of_landmarks_is_measured():
    numbers = torch.arange(200)
    still = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0))
    still[:, :4] = torch.tensor([[0., 0], [0, 2], [2, 0], [2, 2]])  # the box
    noise = .01 * draw(3, 200, 68, 2)
    noise[:, :4] = 0
    assert shaking(still + noise, numbers) == pytest.approx(.005, rel=.05)
    # The head turns and comes nearer, and the inner lips move by themselves.
    wave = torch.sin(numbers / 3.)[:, None, None]
    moving = (still + noise) * (1 + .3 * wave) + .5 * wave
    moving[..., :1] += .2 * wave * still[..., 1:]
    moving[:, 56:] += .1 * torch.cos(numbers / 2.)[:, None, None]
    size = (1 + .3 * wave).mean().item()
    assert shaking(moving, numbers) == pytest.approx(.005 * size, rel=.3)
    # Slow motion is no noise at a low frame rate either.
    assert shaking((still * (1 + .3 * wave))[::5], numbers[:40]) < 1e-5
    moving[5, 40] = torch.nan
    assert shaking(moving, numbers) == pytest.approx(.005 * size, rel=.3)
    assert shaking(moving[:2], numbers[:2]) == 0
    assert shaking(moving, 2 * numbers) == 0  # no three frames in a row


def test_frames_of_a_few_landmarks_do_not_count(flame, truth, regressed):
    _, points = truth
    broken = points[..., :2].clone()
    broken[4] = torch.nan
    broken[4, 30] = points[4, 30, :2] + .3
    codes = refine_track(flame, regressed, broken, 25.)
    other = points[..., :2].clone()
    other[4] = torch.nan
    expected = refine_track(flame, regressed, other, 25.)
    for name in ('shape', 'exp', 'pose'):
        assert torch.allclose(codes[name], expected[name], atol=1e-5), name
    # Frames without any do not make the others count less.
    few = torch.tensor([3, 9])
    gaps = torch.full_like(broken, torch.nan)
    gaps[few] = points[few, :, :2]
    alone, among = (refine_identity(
        flame, {name: code[part] for name, code in regressed.items()},
        seen[part], RefineSettings()) for part, seen in (
            (few, points[..., :2]), (torch.arange(FRAMES), gaps)))
    assert torch.allclose(alone, among, atol=1e-3)


def test_outliers_do_not_count():
    length = torch.ones(2, 68)
    length[0, 3], length[0, 4], length[1] = 5., 2.5, 10.
    length[1, 3] = 60.
    known = torch.ones(2, 68, dtype=torch.bool)
    known[0, 5] = False
    weight = biweight(length, known)
    assert weight[0, 3] == 0 and weight[0, 5] == 0
    assert weight[0, 4].item() == pytest.approx(.75**2)
    # A head that is not in place yet: all are far off, one is an outlier.
    assert weight[1, 0].item() == pytest.approx(.96**2)
    assert weight[1, 3] == 0


def test_unknown_and_wild_landmarks(flame, truth, regressed):
    _, points = truth
    hidden = points[..., :2].clone()
    hidden[:] = torch.nan
    same = refine_track(flame, regressed, hidden, 25.)
    for name in ('exp', 'pose', 'cam'):
        assert torch.allclose(same[name], regressed[name], atol=1e-6)
    wild = points[..., :2].clone()
    wild[3, 40] = 5.
    wild[7, 30:36] = torch.nan
    good, robust = (refine_track(flame, regressed, one, 25.)
                    for one in (points[..., :2], wild))
    assert (robust['pose'] - good['pose']).abs().max() < .05
    one = {name: value[:1] for name, value in regressed.items()}
    alone = refine_track(flame, one, points[:1, :, :2], 25.)
    assert alone['pose'].isfinite().all()
    # A camera that looks backwards spoils its own frame only.
    broken = {name: value.clone() for name, value in regressed.items()}
    broken['cam'][4, 0] = -1
    some = refine_track(flame, broken, points[..., :2], 25.)
    assert torch.equal(some['pose'][4], broken['pose'][4])
    assert (some['shape'] == some['shape'][0]).all()
    kept = torch.arange(FRAMES) != 4
    assert (some['pose'] - good['pose'])[kept].abs().max() < .02
    broken['cam'][:, 0] = 0
    assert refine_track(flame, broken, points[..., :2], 25.) is broken
    with pytest.raises(ValueError, match='positive scale'):
        LandmarkHead(flame).state(broken)


def test_chain_of_frames():
    numbers = torch.tensor([0, 1, 2, 7, 8])
    times = torch.tensor([.1, .5], dtype=torch.float64)
    diagonal, beside = markov_prior(numbers, times, 25.)
    for process in range(2):
        precision = (diagonal[:, process].diag()
                     + beside[:, process].diag(1)
                     + beside[:, process].diag(-1))
        seconds = (numbers[:, None] - numbers).abs().double() / 25
        assert torch.allclose(torch.linalg.inv(precision), torch.exp(
            -seconds / times[process]), atol=1e-9)
    # The chain with full blocks against one dense system
    blocks = draw(1, 5, 2, 2).double()
    blocks = blocks @ blocks.mT + diagonal.diag_embed()
    right = draw(2, 5, 2).double()
    dense = torch.block_diag(*blocks)
    for frame in range(4):
        first, second = (slice(2 * k, 2 * k + 2) for k in (frame, frame + 1))
        dense[first, second] = dense[second, first] = beside[frame].diag()
    assert torch.allclose(solve_chain(blocks, beside, right).flatten(),
                          torch.linalg.solve(dense, right.flatten()))
    alone = solve_chain(blocks[:1], beside[:0], right[:1])
    assert torch.allclose(blocks[0] @ alone[0], right[0])
