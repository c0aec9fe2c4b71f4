# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Motion of results against that of the detector's landmarks."""

from dataclasses import replace

import numpy as np
import pytest

from mmtvface.cli.reconstruct import motion_line
from mmtvface.geometry.head_pose import HEAD_POINTS, euler_angles
from mmtvface.geometry.landmarks import EYELID_PAIRS, LIP_PAIRS
from mmtvface.reconstruction.results import (
    FrameResult,
    frame_camera,
    head_rotation,
)
from mmtvface.reconstruction.summary import Summary


def rotation(yaw, roll=0.):
    """Matrix of a turn to the left after one in the image, radians."""
    cos, sin = np.cos([yaw, roll]), np.sin([yaw, roll])
    return np.array([[cos[1], -sin[1], 0], [sin[1], cos[1], 0], [0, 0, 1.]]
                    ) @ [[cos[0], 0, sin[0]], [0, 1, 0],
                         [-sin[0], 0, cos[0]]]


def face(gap, yaw=0., eyes=1.):
    """(68, 2) pixels, of a head whose outer eye corners are 100 apart."""
    points = HEAD_POINTS.copy()
    for upper, lower in LIP_PAIRS:
        points[lower] = points[upper] - [0, gap / 100, 0]
    for upper, lower in EYELID_PAIRS:
        points[lower] = points[upper] + eyes * (points[lower] - points[upper])
    return (points @ rotation(yaw).T)[:, :2] * [100, -100] + 300


def result(index, pred, detected, yaw=0., track=0, turn=0.):
    """A result with a crop that is turned by radians in the frame."""
    pose = np.zeros(6, np.float32)
    pose[1] = yaw
    cos, sin = np.cos(turn), np.sin(turn)
    # Pixels: x right, y down
    crop = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.]])
    return FrameResult(
        index, f'{index}_{track}', track_id=track,
        codes=dict(shape=np.ones(4), pose=pose),
        camera=frame_camera(np.array([8., 0, 0]), crop, 224),
        landmarks2d=pred, detection=detected, detection_source='detected')


def motion_of(results):
    with Summary() as summary:
        for one in results:
            summary.add(one)
        return summary.metrics()['motion']


def test_mouth_eyelids_and_head():
    gaps, yaws = np.array([0., 10, 20, 10, 5]), np.array([0, .2, 0, -.2, 0])
    motion = motion_of(
        result(i, face(.5 * gap + 4, .5 * yaw), face(gap, yaw), .5 * yaw)
        for i, (gap, yaw) in enumerate(zip(gaps, yaws, strict=True)))
    # Measured by each face's own scale, which the yaw changes a little
    assert motion['mouth_open']['amplitude'] == pytest.approx(.5, abs=.02)
    assert motion['mouth_open']['correlation'] == pytest.approx(1, abs=.01)
    assert motion['yaw']['amplitude'] == pytest.approx(.5, rel=1e-5)
    assert motion['yaw']['correlation'] == pytest.approx(1)
    for name in ('pitch', 'roll'):
        assert motion[name] == dict(amplitude=None, correlation=None)
    assert 'jaw' not in motion


def test_a_mannequin_and_what_is_no_reference():
    def blink(index, eyes, source='detected'):
        return replace(result(index, face(3), face(3, eyes=eyes)),
                       detection_source=source)

    still = dict(amplitude=0., correlation=0.)
    nothing = dict(amplitude=None, correlation=None)
    found = motion_of([blink(0, 1.), blink(1, .2), blink(2, 1.)])
    assert found['eye_right'] == found['eye_left'] == still
    assert found['mouth_open'] == nothing
    found = motion_of([blink(0, 1.), blink(1, .2, 'interpolated'),
                       blink(2, 1.)])
    assert found['eye_right'] == nothing


def test_each_face_moves_about_its_own_mean():
    """Who has the mean mouth of each face does not move."""
    results = [result(i, face(mean), face(mean + 4 * (-1)**i), track=track)
               for i in range(4) for track, mean in enumerate((10, 40))]
    assert motion_of(results)['mouth_open'] == dict(
        amplitude=pytest.approx(0, abs=1e-9), correlation=0)
    two = motion_of(replace(one, landmarks2d=one.detection)
                    for one in results)
    assert two['mouth_open'] == dict(
        amplitude=pytest.approx(1), correlation=pytest.approx(1))


@pytest.mark.parametrize('turn', [0., .4, -2.])
def test_heads_are_seen_with_the_turn_of_their_crop(turn):
    """A crop that is turned by 23 degrees shows the head upright."""
    found = head_rotation(result(0, None, None, .3, turn=turn))
    np.testing.assert_allclose(found, rotation(.3, -turn), atol=1e-7)
    assert euler_angles(found) == pytest.approx(
        [np.degrees(.3), 0, np.degrees(-turn)], abs=1e-4)


def test_the_line_of_the_command():
    motion = dict(
        mouth_open=dict(amplitude=.924, correlation=.951),
        mouth_width=dict(amplitude=.5, correlation=-.1),
        eye_right=dict(amplitude=None, correlation=None),
        yaw=dict(amplitude=0., correlation=0.))
    assert motion_line(motion) == (
        'motion: mouth opening follows with 0.92 of its amplitude '
        '(correlation 0.95), mouth width with 0.50 (-0.10), yaw with 0.00 '
        '(0.00)')
    assert motion_line({'eye_right': motion['eye_right']}) == ''
