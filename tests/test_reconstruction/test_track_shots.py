# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From faces in frames to tracks in shots."""

from array import array

import numpy as np
import pytest
from helpers.toy_pictures import POINTS

from mmtvface.geometry.crop import landmark_box, transform_points
from mmtvface.tracking.face_track import CropPlan, FaceTrack, FrameDetections
from mmtvface.tracking.face_tracker import FaceTracker
from mmtvface.tracking.shots import (
    OpenTrack,
    ShotBuilder,
    main_tracks,
    prominence,
)
from mmtvface.tracking.track_store import TrackStore

CROP = CropPlan(32, 1.5, 0.)


class Plans:
    """Frames with faces of 20 pixels at places (x, y), and their tracks."""

    def __init__(self, consecutive=True):
        self.tracker, self.consecutive = FaceTracker(), consecutive

    def __call__(self, index, *places, cut=False, size=(100, 200),
                 time=None):
        faces = [place if isinstance(place, np.ndarray) else
                 POINTS * 20 + place for place in places]
        image = None if size is None else np.zeros((*size, 3), np.uint8)
        return FrameDetections(
            index, f'{index:06d}', size, self.tracker.update(
                image, cut or not self.consecutive, faces), cut=cut,
            time=time)


def shots(folder, plans, **options):
    build = ShotBuilder(TrackStore(folder), CROP, **options)
    return list(build(plans))


def ids(shot):
    return [[face.track.track_id for face in faces]
            for _, faces in shot.frames()]


def test_all_faces_or_the_main_one(tmp_path):
    """A small face throughout, a large one in the middle."""
    plan = Plans()
    plans = [plan(i, (5, 5)) for i in range(3)]
    plans += [plan(i, (5, 5), POINTS * 30 + (94, 40) if i == 4 else
                   (90 + i, 40)) for i in range(3, 6)]
    part, = shots(tmp_path, plans, faces='all')
    assert ids(part) == [[0]] * 3 + [[0, 1]] * 3
    assert (part.first, part.stop) == (0, 6)
    (_, faces), = list(part.frames())[4:5]
    assert faces[1].place == 1 and faces[1].origin == 'given'
    np.testing.assert_allclose(faces[1].landmarks, POINTS * 30 + (94, 40))
    # A square of 45 pixels around (109, 55) fills the crop.
    np.testing.assert_allclose(
        faces[1].crop_matrix @ [109, 55, 1], [15.5, 15.5, 1])
    assert faces[1].crop_matrix[0, 0] == pytest.approx(32 / 45)
    main, = shots(tmp_path / 'main', plans)
    assert ids(main) == [[]] * 3 + [[0]] * 3


def test_shots_end_at_cuts_when_they_are_long_enough(tmp_path):
    plan = Plans()
    plans = [plan(i, (5, 5), cut=i in (20, 60, 115)) for i in range(130)]
    parts = shots(tmp_path, plans)
    assert [(part.first, part.stop) for part in parts] == [
        (0, 60), (60, 115), (115, 130)]
    # A track for each shot, numbered throughout
    assert [[len(track) for track in part.tracks] for part in parts] == [
        [20, 40], [55], [15]]
    assert [track.track_id for part in parts for track in part.tracks] == [
        0, 1, 2, 3]
    assert [plan.index for plan, _ in parts[1].frames()] == list(
        range(60, 115))
    assert parts[1].tracks[0].frames.tolist() == list(range(60, 115))


def test_frames_that_do_not_follow_one_another(tmp_path):
    plan = Plans(consecutive=False)
    plans = [plan(i, (5, 5), (90, 40)) for i in range(120)]
    parts = shots(tmp_path, plans, faces='all', consecutive=False)
    assert [part.stop for part in parts] == [50, 100, 120]
    assert ids(parts[0])[:2] == [[0, 1], [2, 3]]


def test_short_gaps_are_filled(tmp_path):
    plan = Plans()
    plans = [plan(0, (5, 5)), plan(1), plan(2, size=None), plan(3, (11, 8)),
             plan(4), plan(5), plan(6), plan(7, (13, 8))]
    part, = shots(tmp_path, plans, fill_gaps=2)
    found = {plan.index: faces for plan, faces in part.frames()}
    # Frame 2 has no image, but its place in the track.
    assert [i for i, faces in found.items() if faces] == [0, 1, 2, 3, 7]
    filled, = found[1]
    assert filled.origin == 'interpolated' and filled.place == 1
    np.testing.assert_allclose(filled.landmarks, POINTS * 20 + (7, 6))
    assert found[3][0].place == 3
    track, = part.tracks
    assert track.frames.tolist() == [0, 1, 2, 3, 7]


def test_the_store_goes_on(tmp_path):
    plan = Plans()
    plans = [plan(i, (5, 5), cut=i == 2, time=.125 if i == 3 else None)
             for i in range(5)]
    with TrackStore(tmp_path) as store:
        list(ShotBuilder(store, CROP)(plans[:4]))
        assert len(store) == 4
    with TrackStore(tmp_path) as store:
        known = list(store.frames(0, len(store)))
        assert [entry.cut for entry in known] == [False, False, True, False]
        assert known[3].time == .125 and known[3].size == (100, 200)
        shot, = ShotBuilder(store, CROP)([*known, plans[4]])
        np.testing.assert_array_equal(
            [faces[0].landmarks for _, faces in shot.frames()],
            np.tile(POINTS * 20 + 5, (5, 1, 1)))
        assert ids(shot) == [[0], [0], [1], [1], [1]]
        assert len(store) == 5


def test_tracks_hold_what_is_filled_only_once(tmp_path):
    """Also when the frames around a gap are known from before."""
    plan = Plans()
    plans = [plan(0, (5, 5)), plan(1), plan(2, (7, 5)), plan(3, (8, 5))]
    for count in (3, 4):
        with TrackStore(tmp_path) as store:
            known = list(store.frames(0, len(store), found=True))
            shot, = ShotBuilder(store, CROP, fill_gaps=1)(
                [*known, *plans[len(known):count]])
            assert [[face.origin for face in faces]
                    for _, faces in shot.frames()] == [
                ['given'], ['interpolated'], *[['given']] * (count - 2)]
            track, = shot.tracks
            points = store.read_points(track, np.arange(count))
            assert np.isnan(points[1]).all() and points[2, 0, 0] == 7


def test_main_tracks_are_apart_in_time():
    """Against the rule, track by track."""
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(60):
        first = int(rng.integers(0, 200))
        tracks.append(OpenTrack(
            number, (100, 200), float(rng.random()),
            array('q', [first, first + int(rng.integers(0, 9))])))
    kept = []
    for track in sorted(tracks, key=lambda t: -t.weight):
        if all(track.frames[-1] < other.frames[0]
               or track.frames[0] > other.frames[-1] for other in kept):
            kept.append(track)
    assert main_tracks(tracks) == sorted(kept, key=lambda t: t.frames[0])


def test_prominence_prefers_large_and_central():
    large, small = (50, 0, 150, 100), (90, 40, 110, 60)
    corner, size = (0, 0, 20, 20), (100, 200)
    assert (prominence(large, size) > prominence(small, size)
            > prominence(corner, size))
    assert prominence(large, size) == pytest.approx(0.5)


def test_crops_tremble_less_than_the_landmarks():
    rng = np.random.default_rng(0)
    center = np.stack([np.arange(40.), np.zeros(40)], 1)
    shape = rng.uniform(0, 60, (68, 2))
    points = shape + center[:, None] + rng.normal(size=(40, 1, 2)) * 2
    boxes = np.stack([landmark_box(face) for face in points])

    def crops(sigma):
        track = FaceTrack(0, 0, np.arange(40), boxes, (100, 200),
                          CropPlan(224, 1.6, sigma))
        return np.stack([track.crop_matrix(place) for place in range(40)])

    def jitter(matrices):
        middle = np.linalg.inv(matrices)[:, :2] @ [111.5, 111.5, 1.]
        return np.abs(np.diff(middle, n=2, axis=0)).mean()

    assert jitter(crops(2.)) < 0.2 * jitter(crops(0.))
    # Unsmoothed, the box's centre is the crop's centre in every frame.
    middles = (points.min(1) + points.max(1)) / 2
    placed = transform_points(middles[:, None], crops(0.))
    np.testing.assert_allclose(placed, 111.5, atol=1e-9)
