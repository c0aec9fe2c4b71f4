# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From the codes of clips to those of tracks."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.toy_pictures import POINTS
from helpers.toy_reconstructor import ToyFlame

from mmtvface.geometry.alignment import nearest_rotation
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import FLAME
from mmtvface.reconstruction import finish as finish_module
from mmtvface.reconstruction.encode import WindowBlender
from mmtvface.reconstruction.finish import (
    FinishSettings,
    Statistics,
    TrackFinisher,
    finish_run,
    one_identity,
)
from mmtvface.reconstruction.smoothing import robust_mean
from mmtvface.structures import FlameCodeLayout
from mmtvface.tracking.detectors import FaceLandmarks
from mmtvface.tracking.face_track import (
    CropPlan,
    Face,
    FaceTrack,
    FrameDetections,
    TrackedFace,
)
from mmtvface.tracking.shots import ShotBuilder
from mmtvface.tracking.track_store import RESUME_FILE, TrackStore

NUMBERS = torch.arange(9)
LAYOUT = FlameCodeLayout(shape=2, tex=0, exp=1, light=0)  # pose from 3, cam


def rows(count, value=0., pose=0.):
    out = np.full((count, 14), value, np.float32)  # two of detail
    out[:, 3:9] = pose
    return out


def test_opinions_fade_from_clip_to_clip():
    blender = WindowBlender(LAYOUT)
    first = blender.add(range(4), rows(4, 0.), until=2)
    assert [frame for frame, _ in first] == [0, 1]
    second = dict(blender.add(range(2, 6), rows(4, 3.), until=math.inf))
    assert list(second) == [2, 3, 4, 5]
    # Weights 2 and 1, then 1 and 2, of the two clips
    assert second[2][0] == pytest.approx(1) and (
        second[3][0] == pytest.approx(2))
    assert second[4][-1] == 3 and second[2][-1] == pytest.approx(1)
    assert blender.add(range(9, 10), rows(1, 7.), until=math.inf)[0][1][0] == 7


def test_rotations_are_blended_as_rotations():
    blender = WindowBlender(LAYOUT)
    # Half turns about x, nearly: vectors of opposite sign, 0.2 rad apart
    turn = math.pi - .1
    blender.add([0, 1], rows(2, pose=[turn, 0, 0, .2, 0, 0]), until=0)
    (_, row), _ = blender.add(
        [0, 1], rows(2, pose=[-turn, 0, 0, .4, 0, 0]), until=math.inf)
    assert abs(row[3]) == pytest.approx(math.pi, abs=1e-3)
    assert row[6:9] == pytest.approx([.3, 0, 0], abs=1e-6)
    skewed = torch.diag(torch.tensor([2., 1., -.1]))
    near = nearest_rotation(skewed)
    assert torch.linalg.det(near) == pytest.approx(1)
    turned = axis_angle_to_matrix(torch.tensor([[.3, -.2, .9]]))
    assert torch.allclose(nearest_rotation(1.7 * turned), turned, atol=1e-6)


def test_a_clip_that_failed_does_not_count():
    blender = WindowBlender(LAYOUT)
    blender.add([0, 1], rows(2, np.nan), until=0)
    done = blender.add([1, 2], rows(2, 5.), until=math.inf)
    assert np.isnan(done[0][1][0]) and done[1][1][0] == 5


def test_robust_mean_ignores_outliers():
    values = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    values = values * .1 + torch.tensor([1., 2., 3., 4.])
    clean = robust_mean(values.numpy())
    assert clean == pytest.approx(values.mean(0), abs=.03)
    values[:30] = 1e3
    assert robust_mean(values.numpy()) == pytest.approx([1, 2, 3, 4], abs=.1)
    same = torch.ones(5, 2)
    assert robust_mean(same.numpy()).tolist() == [1, 1]


def random_codes(count=9):
    generator = torch.Generator().manual_seed(1)
    return dict(
        shape=torch.randn(count, 4, generator=generator),
        tex=torch.randn(count, 3, generator=generator),
        exp=torch.randn(count, 3, generator=generator),
        pose=.1 * torch.randn(count, 6, generator=generator),
        cam=torch.tensor([8., 0., 0.]).repeat(count, 1))


def test_one_identity():
    codes = dict(random_codes(), detail=torch.ones(9, 0))
    codes['shape'][4] = 50.
    found = one_identity(codes)
    assert set(found) == {'shape', 'tex'}
    assert found['shape'].shape == (4, ) and found['shape'].abs().max() < 3


def test_smoothing_of_runs():
    codes = random_codes()
    points = torch.zeros(9, 68, 2)
    # A parabola passes the filter of Savitzky and Golay unchanged.
    time = torch.arange(9.)[:, None]
    smooth = dict(codes, pose=.01 * (time - 4)**2 * torch.ones(6))
    done = finish_run(ToyFlame(), smooth, points, NUMBERS, 25.,
                      FinishSettings(smooth='savgol'), Statistics())
    assert done['pose'] == pytest.approx(smooth['pose'], abs=1e-5)
    two = {name: code[:2] for name, code in codes.items()}
    done = finish_run(ToyFlame(), two, points[:2], NUMBERS[:2], 25.,
                      FinishSettings(smooth='savgol'), Statistics())
    assert torch.equal(done['pose'], two['pose'])


def test_filters_do_not_cross_gaps():
    """Two parabolas with a jump between them stay as they are."""
    numbers = torch.tensor([0, 1, 2, 3, 4, 10, 11, 12, 13])
    time = numbers[:, None].float()
    pose = .01 * time**2 * torch.ones(6) - .5 * (time > 7)
    codes = dict(shape=torch.zeros(9, 4), tex=torch.zeros(9, 3),
                 exp=torch.zeros(9, 3), pose=pose,
                 cam=torch.tensor([8., 0., 0.]).repeat(9, 1))
    settings, statistics = FinishSettings(smooth='savgol'), Statistics()
    done = finish_run(ToyFlame(), codes, torch.zeros(9, 68, 2), numbers,
                      25., settings, statistics)
    assert done['pose'] == pytest.approx(pose, abs=1e-4)
    report = statistics.report()['smoothing']
    assert report['jitter_after_mm'] == pytest.approx(
        report['jitter_before_mm'], rel=1e-2)
    across = finish_run(ToyFlame(), codes, torch.zeros(9, 68, 2), NUMBERS,
                        25., settings, Statistics())
    assert (across['pose'] - pose).abs().max() > .05


class Model(NamedTuple):
    """What is used of a model."""

    flame: torch.nn.Module
    layout: FlameCodeLayout


@pytest.mark.parametrize('settings', [
    FinishSettings(), FinishSettings('frame'), FinishSettings(refine=1),
    FinishSettings('frame', smooth='savgol'),
    FinishSettings(smooth='one-euro')], ids=str)
def test_blocks_of_a_track_make_no_difference(tmp_path, monkeypatch,
                                              settings):
    """Of 270 frames, and with a frame that failed."""
    count, size = 270, 64
    flame = FLAME('procedural', 5, 4).requires_grad_(False)
    layout = FlameCodeLayout(shape=5, tex=0, exp=4, light=0)
    rng = np.random.default_rng(0)
    shake = rng.normal(0, .5, (count, 2)) + [40, 40]
    store = TrackStore(tmp_path)
    shot, = ShotBuilder(store, CropPlan(size, 1.5, 0.))(
        FrameDetections(i, str(i), (200, 200), [TrackedFace(
            0, FaceLandmarks(POINTS * 60 + shake[i]))])
        for i in range(count))
    track, = shot.tracks
    rows = rng.normal(0, .1, (count, layout.total)).astype(np.float32)
    rows[:, -3:] += [8, 0, 0]
    rows[5] = np.nan

    def finish(block):
        monkeypatch.setattr(finish_module, '_BLOCK', block)
        statistics = Statistics()
        store.write_codes(track, np.arange(count), rows)
        TrackFinisher(Model(flame, layout), size, 25., settings,
                      statistics)(track, store)
        return (store.read_codes(track, np.arange(count)),
                statistics.report())

    whole, report = finish(1000)
    blocks, parts = finish(100)
    assert np.isnan(whole[5]).all() and np.isfinite(np.delete(
        whole, 5, 0)).all()
    np.testing.assert_allclose(blocks, whole, atol=2e-4)
    shapes = np.delete(whole, 5, 0)[:, :5]
    assert (settings.identity == 'track') == bool(
        (shapes == shapes[0]).all())
    changed = np.abs(whole - rows)[[0, 200, 269], 5:-3].max()
    assert (changed > 1e-3) == bool(settings.refine or settings.smooth)
    for step, values in report.items():
        assert parts[step] == pytest.approx(values, rel=.05, abs=.01)
    assert set(report) == (({'refinement'} if settings.refine else set())
                           | ({'smoothing'} if settings.smooth else set()))


def track_of(number, frames):
    frames = np.array(frames)
    return FaceTrack(number, number, frames, np.tile(
        [0., 0., 9., 9.], (len(frames), 1)), (20, 20), CropPlan(8, 1., 0.))


def test_codes_are_kept(tmp_path):
    one, other = track_of(0, range(3)), track_of(1, range(2, 6))
    with TrackStore(tmp_path) as store:
        assert store.known_codes(one) == 0
        assert store.read_codes(one, np.arange(3)).shape == (3, 0)
        assert not len(store.finite_places(one))
        store.write_codes(one, np.arange(3), np.ones((3, 4)))
        store.write_codes(other, np.arange(2), np.full((2, 4), 2.))
        store.rewrite(one, np.array([0, 2]), 1, 0,
                      lambda places, inner: np.full((1, 4), places[0] + 7.))
        read = store.read_codes(one, np.array([2, 0, 1]))
        assert read[:, 0].tolist() == [9, 7, 1] and read.dtype == np.float32
        with pytest.raises(ValueError, match='another process'):
            TrackStore(tmp_path)
    with TrackStore(tmp_path) as store:
        # What was made of them is made again.
        assert store.read_codes(one, np.arange(3)).tolist() == [[1] * 4] * 3
        assert store.known_codes(one) == 3 and store.known_codes(other) == 2
        assert np.isnan(store.read_codes(other, np.array([2]))).all()
        assert store.has_codes(other, 1) and not store.has_codes(other, 2)
        assert store.finite_places(other).tolist() == [0, 1]
        # Of frames that are none of the track's, they are forgotten.
        assert store.known_codes(track_of(1, range(3, 6))) == 0
        assert store.known_codes(other) == 0
    with TrackStore(tmp_path, dict(input='other')) as store:
        assert store.known_codes(one) == 0


def test_crops_are_kept_for_the_run(tmp_path):
    track = track_of(3, [4, 6])
    image = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    with TrackStore(tmp_path) as store:
        store.write_crop(Face(track, 1, POINTS, 'given'), image)
        assert store.has_crop(track).tolist() == [False, True]
        np.testing.assert_allclose(
            store.read_crops(track, np.array([1]))[0], image, atol=3)
        store.forget_work([track])
        assert not store.has_crop(track).any()
    assert [path.name for path in tmp_path.iterdir()] == [RESUME_FILE]
