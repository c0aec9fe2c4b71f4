# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch

from mmtvface.animation.pictures import extent_of, fit_camera, still_window
from mmtvface.animation.teaser import (
    Move,
    bump,
    ease,
    find_components,
    plan_moves,
    sweep_expression,
    sweep_rotation,
    swing,
)
from mmtvface.geometry.camera import project
from mmtvface.geometry.crop import transform_points
from mmtvface.geometry.rotation import axis_angle_to_matrix, rotation_yaw

NAMES = ('smile_L', 'smile_R', 'blink', 'browInnerUp', 'browOuterUp_L',
         'browOuterUp_R', 'noseSneer_L', 'noseSneer_R', 'browDown_L',
         'browDown_R', 'pucker')


def test_easing():
    share = np.array([-1., 0., .25, .5, 1., 2.])
    np.testing.assert_allclose(ease(share), [0, 0, .15625, .5, 1, 1])
    np.testing.assert_allclose(bump(share), [0, 0, .5, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(swing(share)[[0, 1, 3, 4, 5]], 0, atol=1e-12)
    fine = np.linspace(0, 1, 1001)
    assert swing(fine).max() == pytest.approx(1, abs=1e-5)
    for wave in (ease, bump, swing):  # at rest at both ends
        steps = np.abs(np.diff(wave(fine)))
        assert steps[[0, -1]].max() < .01 * steps.max()


def test_rotation_goes_left_then_right_and_returns():
    turns = torch.from_numpy(sweep_rotation(101, yaw=60.))
    yaw = torch.rad2deg(rotation_yaw(axis_angle_to_matrix(turns))).numpy()
    np.testing.assert_allclose(yaw[[0, 50, 100]], 0, atol=1e-6)
    assert yaw.max() == pytest.approx(60, abs=.1)
    assert yaw.min() == pytest.approx(-60, abs=.1)
    assert yaw.argmax() < 50 < yaw.argmin()
    np.testing.assert_allclose(yaw, -yaw[::-1], atol=1e-6)
    assert not turns[:, [0, 2]].any()


def test_rotation_nods_on_the_way():
    turns = torch.from_numpy(sweep_rotation(101, yaw=0., pitch=10.))
    assert turns[:, 0].max() == pytest.approx(np.radians(10), abs=1e-3)
    assert turns[:, 0].min() == pytest.approx(-np.radians(10), abs=1e-3)
    assert turns[1:20, 0].min() > 0  # down first
    both = torch.from_numpy(sweep_rotation(5, yaw=30., pitch=20.))
    assert both[[0, 4]].abs().max() < 1e-9
    assert sweep_rotation(1).shape == (1, 3)


@pytest.mark.parametrize('options, expected', [
    (dict(num_frames=0), 'needs a frame'), (dict(yaw=180), 'yaw .* 180'),
    (dict(pitch=-1), 'pitch')])
def test_wrong_rotations_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        sweep_rotation(**(dict(num_frames=3) | options))


def test_expressions_one_after_the_other():
    moves = [Move('a', (0, )), Move('b', (1, 2), both_ways=True),
             Move('jaw', jaw=.3)]
    own, jaw = np.array([.5, -.5, 1.]), np.array([.1, 0., .02])
    sweep = sweep_expression(401, moves, own, jaw, strength=2.)
    # Time runs from 0 to 4: half a unit to neutral, three moves, and back.
    np.testing.assert_allclose(sweep.exp[[0, -1]], [own, own])
    np.testing.assert_allclose(sweep.jaw[[0, -1]], [jaw, jaw])
    for border in (50, 150, 250, 350):
        np.testing.assert_allclose(sweep.exp[border], 0, atol=1e-12)
        np.testing.assert_allclose(sweep.jaw[border], 0, atol=1e-12)
    np.testing.assert_allclose(sweep.exp[100], [2, 0, 0])
    np.testing.assert_allclose(sweep.jaw[300], [.3, 0, 0])
    assert sweep.exp[:, 1].max() == pytest.approx(2, abs=1e-3)
    assert sweep.exp[:, 1].min() == pytest.approx(-2, abs=1e-3)
    np.testing.assert_allclose(sweep.exp[51:350, 1], sweep.exp[51:350, 2])
    assert sweep.peaks['a'] == [100]
    assert sweep.peaks['b'] == [183, 217] and sweep.peaks['jaw'] == [300]


def test_few_frames_and_no_frame():
    sweep = sweep_expression(1, [Move('a', (0, ))], np.ones(2), np.zeros(3))
    np.testing.assert_allclose(sweep.exp, [[1, 1]])
    with pytest.raises(ValueError, match='needs a frame'):
        sweep_expression(0, [], np.ones(2), np.zeros(3))


def test_names_and_numbers_of_expressions():
    assert find_components('smile', NAMES, 9) == (0, 1)
    assert find_components('SMILE_l+2', NAMES, 9) == (0, 2)
    assert find_components('8', (), 9) == (8, )
    with pytest.raises(ValueError, match="'grin'.* 0 .. 8 and blink, brow"):
        find_components('grin', NAMES, 9)
    with pytest.raises(ValueError, match="'9'; .* 0 .. 8 .only the built"):
        find_components('9', (), 9)
    with pytest.raises(ValueError, match="'pucker'"):  # the model is shorter
        find_components('pucker', NAMES, 10)


def test_default_expressions():
    named = plan_moves(None, NAMES, 11)
    assert [move.label for move in named] == [
        'smile', 'browInnerUp+browOuterUp', 'noseSneer+browDown', 'pucker',
        'jaw']
    assert named[1].components == (3, 4, 5) and not named[1].both_ways
    plain = plan_moves(None, (), 3, jaw=.2)
    assert [move.components for move in plain] == [(0, ), (1, ), (2, ), ()]
    assert plain[0].both_ways and plain[-1].jaw == .2
    only = plan_moves(['jaw', '2'], NAMES, 11)
    assert [move.label for move in only] == ['jaw', 'expression 2']


def test_default_expressions_are_in_the_built_in_head():
    from mmtvface.heads.providers.procedural import procedural_head
    moves = plan_moves(None, procedural_head().expression_names, 50)
    assert all(move.components for move in moves[:-1])


@pytest.mark.parametrize('margin', [1., 1.1, 2.])
def test_the_camera_shows_all_vertices_of_all_frames(margin):
    rng = np.random.default_rng(0)
    head = torch.from_numpy(rng.normal([.1, -.2, 0], [.07, .1, .09],
                                       (40, 3)))
    turns = axis_angle_to_matrix(torch.from_numpy(sweep_rotation(
        30, 80., 15.)))
    frames = head @ turns.mT
    cam = fit_camera(extent_of(frames.split(7)), margin)
    ndc = project(frames, cam.expand(30, 3))[..., :2]
    # The longer side of the box fills the image up to the margin.
    assert ndc.abs().max().item() == pytest.approx(1 / margin)
    reach = torch.stack([ndc.amax((0, 1)), -ndc.amin((0, 1))])
    torch.testing.assert_close(reach[0], reach[1])


def test_cameras_that_cannot_be():
    with pytest.raises(ValueError, match='there is none'):
        extent_of([])
    with pytest.raises(ValueError, match='not finite'):
        extent_of([torch.full((1, 2, 3), torch.nan)])
    with pytest.raises(ValueError, match='positive'):
        fit_camera(torch.zeros(2, 3))
    with pytest.raises(ValueError, match='positive'):
        fit_camera(torch.tensor([[0., 0, 0], [1, 1, 1]]), 0.)


def square(left, top, side):
    return np.array([[left, top], [left + side, top + side]], float)


def test_a_still_window_shows_all_places_of_a_face():
    landmarks = np.stack([square(100, 100, 50), square(160, 110, 50),
                          np.full((2, 2), np.nan)])
    window = still_window(landmarks, 64)
    placed = transform_points(landmarks[:2], window)
    # Side: 110 from the first to the last place and 0.6 faces around them.
    assert placed.min() > 0 and placed.max() < 63
    np.testing.assert_allclose(np.ptp(placed[..., 0]), 64 * 110 / 140)
    np.testing.assert_allclose(
        placed[..., 0].min() + placed[..., 0].max(), 63)
    # A face that stays takes half of the window.
    placed = transform_points(landmarks[:1], still_window(landmarks[:1], 64))
    np.testing.assert_allclose(np.ptp(placed, axis=1), [[32., 32.]])
    with pytest.raises(ValueError, match='there are none'):
        still_window(landmarks[2:], 64)


def test_a_still_window_stays_in_the_frame():
    face = square(5, 20, 40)[None]
    inverse = np.linalg.inv(still_window(face, 64, (100, 200)))
    corners = transform_points(np.array([[-.5, -.5], [63.5, 63.5]]), inverse)
    np.testing.assert_allclose(corners, [[-.5, 0.], [79.5, 80.]])
    # A frame smaller than the window, and a face that it cuts off.
    face = square(-20, 10, 60)[None]
    inverse = np.linalg.inv(still_window(face, 64, (70, 80)))
    corners = transform_points(np.array([[-.5, -.5], [63.5, 63.5]]), inverse)
    np.testing.assert_allclose(corners, [[-20., 0.], [50., 70.]])
