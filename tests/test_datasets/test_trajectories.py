# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch

from mmtvface.datasets.synthetic import trajectories as tr
from mmtvface.datasets.synthetic.camera import draw_camera
from mmtvface.datasets.synthetic.light import (
    ambient,
    draw_light,
    project_directional,
)
from mmtvface.geometry.lighting import sh_shading


def rngs(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def test_smooth_noise_is_band_limited_and_has_unit_variance():
    noise = tr.smooth_noise(np.random.default_rng(0), 2000, 50, cutoff=2.)
    assert noise.shape == (2000, 50)
    assert noise.var() == pytest.approx(1, rel=.05)
    power = np.abs(np.fft.rfft(noise * np.hanning(2000)[:, None], axis=0))**2
    frequency = np.fft.rfftfreq(2000, 1 / tr.FPS)
    assert power[frequency > 2.2].sum() < 1e-4 * power.sum()


def test_head_motion_limits_and_smoothness():
    poses = np.degrees([tr.head_motion(rng, 100) for rng in rngs(60)])
    assert (np.abs(poses) <= (40, 20, 15)).all()
    # The range is used, not only its middle
    assert (np.abs(poses).max((0, 1)) > (28, 14, 10)).all()
    step = np.diff(poses, axis=1)
    jerk = np.diff(step, axis=1)
    assert np.abs(step[..., 0]).max() < 8
    # Between frames, the velocity changes by less than it amounts to.
    assert jerk.std() < .4 * step.std()
    still = tr.head_motion(np.random.default_rng(0), 9, scale=0.)
    assert np.abs(still).max() < 1e-6


def test_turns_are_quick_and_rest_between():
    spread = np.radians((60, 20))
    turns = np.degrees([tr.turns(rng, 200, 1., spread) for rng in rngs(40)])
    assert turns.shape == (40, 200, 2)
    speed = np.abs(np.diff(turns, axis=1))[..., 0] * tr.FPS
    assert np.median(speed) == 0  # mostly the head rests in a posture
    assert 200 < np.quantile(speed.max(1), .75) < 1500
    assert np.std(turns[..., 0]) == pytest.approx(60, rel=.15)
    # A turn takes 0.15 seconds or more: no step of a single one is above
    # 1.5 * 0.04 / 0.15 of its angle, the slope of the smooth curve.
    alone = [angles for angles in (
        tr.turns(rng, 200, .1, spread)[:, 0] for rng in rngs(60))
        if angles[0] != angles[-1] and (angles[:20] == angles[0]).all()
        and (angles[-20:] == angles[-1]).all()
        and (np.diff(np.diff(angles)[np.diff(angles) != 0] > 0) == 0).all()]
    assert len(alone) > 5
    for angles in alone:
        reach = abs(angles[-1] - angles[0])
        assert .02 * reach < np.abs(np.diff(angles)).max() <= .401 * reach
    still = tr.turns(np.random.default_rng(0), 50, 0., spread)
    assert (still == still[0]).all()
    poses = np.degrees([tr.head_motion(rng, 100, turn_rate=1.)
                        for rng in rngs(60)])
    assert (np.abs(poses) <= (40, 20, 15)).all()


def test_speech_has_syllables():
    clips = [tr.speech(rng, 250, talking=1.) for rng in rngs(20)]
    assert all(((clip >= 0) & (clip <= 1)).all() for clip in clips)
    spectrum = np.mean([np.abs(np.fft.rfft(clip - clip.mean()))**2
                        for clip in clips], 0)
    frequency = np.fft.rfftfreq(250, 1 / tr.FPS)
    band = (frequency > 3) & (frequency < 8)
    assert spectrum[band].sum() > .3 * spectrum.sum()
    assert spectrum[frequency > 10].sum() < .08 * spectrum.sum()
    quiet = tr.speech(np.random.default_rng(0), 250, talking=0.)
    assert np.ptp(quiet) == 0 and quiet.max() <= .06


def test_blinks_take_a_few_frames():
    lengths, closed, frames = [], 0, 0
    for rng in rngs(200):
        eyelids = tr.blinks(rng, 100, rate=.2)
        assert ((eyelids >= 0) & (eyelids <= 1)).all()
        runs = np.flatnonzero(np.diff(np.r_[0, eyelids > .05, 0]))
        lengths += (runs[1::2] - runs[::2]).tolist()
        closed += (eyelids > .8).sum()
        frames += 100
    assert 3 <= np.median(lengths) <= 4
    # 0.2 blinks a second, each above 0.8 for less than two frames
    assert .2 / 25 * .7 < closed / frames < .2 / 25 * 2.2


def test_gaze_jumps_and_counters_the_head():
    head = np.zeros((200, 3))
    looks = tr.gaze(np.random.default_rng(0), head, .25)
    assert np.abs(looks).max() < .25
    moves = np.abs(np.diff(looks, axis=0)).max(1)
    assert .01 < (moves > 0).mean() < .12  # fixations between the jumps
    head[:, 0] = .2
    turned = tr.gaze(np.random.default_rng(0), head, .25)
    assert (turned[:, 0] < looks[:, 0]).all()
    np.testing.assert_array_equal(turned[:, 1], looks[:, 1])
    assert (tr.gaze(np.random.default_rng(0), head, 0.) == 0).all()


def test_activation_range():
    for rng in rngs(20):
        wave = tr.activation(rng, 50, 3.)
        assert wave.min() >= 0 and wave.max() <= 3
        assert np.abs(np.diff(wave)).max() < .8


@pytest.fixture
def normals():
    out = np.random.default_rng(0).normal(size=(20000, 3))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def test_directional_light_is_the_best_second_order_fit(normals):
    direction = np.array([.3, .5, .812])
    direction /= np.linalg.norm(direction)
    light = project_directional(direction, np.array([1., .5, 2.]))
    shading = sh_shading(torch.tensor(normals)[None],
                         torch.tensor(light)[None])[0].numpy()
    cosine = normals @ direction
    want = .25 + cosine / 2 + 15 / 32 * (cosine**2 - 1 / 3)
    np.testing.assert_allclose(shading, want[:, None] * [1., .5, 2.],
                               atol=1e-9)
    assert np.abs(want - np.maximum(cosine, 0)).max() < .1


def test_ambient_light(normals):
    light = ambient(np.array([.2, .5, .9]))
    shading = sh_shading(torch.tensor(normals[:9])[None],
                         torch.tensor(light)[None])[0].numpy()
    np.testing.assert_allclose(shading, np.tile([.2, .5, .9], (9, 1)))


def test_lights_are_plausible(normals):
    front = normals[normals[:, 2] > .3][:500]
    means = []
    for rng in rngs(100):
        light = draw_light(rng, 20)
        assert np.abs(np.diff(light, axis=0)).max() < .1
        shading = sh_shading(torch.tensor(front)[None],
                             torch.tensor(light[:1]))[0].numpy()
        assert shading.min() > -.1 and shading.max() < 2.
        means.append(shading.mean(0))
    means = np.array(means)
    assert .4 < means.min() and means.max() < 1.5
    assert (means.max(1) / means.min(1)).max() < 1.6  # nearly white


def test_camera_frames_the_landmarks():
    rng = np.random.default_rng(0)
    points = rng.uniform(-.07, .07, (68, 3)) + (.03, -.02, .1)
    landmarks = np.tile(points, (12, 1, 1))
    cam = draw_camera(rng, landmarks, (1.5, 1.5), shift=0., shake=0.)
    np.testing.assert_allclose(cam, np.tile(cam[:1], (12, 1)))
    ndc = cam[0, 0] * (points[:, :2] + cam[0, 1:])
    low, high = ndc.min(0), ndc.max(0)
    # A box that fills 1 / 1.5 of the two units of the image, in its middle
    assert (high - low).mean() == pytest.approx(2 / 1.5)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)


def test_camera_is_smooth_though_landmarks_are_not():
    rng = np.random.default_rng(0)
    points = rng.uniform(-.07, .07, (68, 3))
    landmarks = points + rng.normal(0, .003, (60, 68, 3))
    cam = draw_camera(rng, landmarks)
    boxes = landmarks[..., 0].min(1) + landmarks[..., 0].max(1)
    assert np.diff(cam[:, 1], 2).std() < .2 * np.diff(boxes / 2, 2).std()
    assert np.ptp(cam[:, 0]) / cam[:, 0].mean() < .15
