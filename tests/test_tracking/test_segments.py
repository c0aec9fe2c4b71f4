# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From faces in frames to tracks in segments."""

import numpy as np
import pytest
from helpers.toy_pictures import POINTS

from mmtvface.tracking.detection import FramePlan
from mmtvface.tracking.face_log import FaceLog
from mmtvface.tracking.face_track import CropPlan
from mmtvface.tracking.shots import SegmentCutter

CROP = CropPlan(32, 1.5, 0.)


def plan(index, *places, cut=False, size=(100, 200)):
    """A frame with faces of 20 pixels at places (x, y)."""
    return FramePlan(index, f'{index:06d}', size, cut=cut, origin='detected',
                     faces=[POINTS * 20 + place for place in places])


def segments(tmp_path, plans, **options):
    log = FaceLog(tmp_path / 'faces.jsonl')
    cut = SegmentCutter(log, CROP, **options)
    return list(cut(plans))


def ids(segment):
    return [[face.track.track_id for face in faces]
            for _, faces in segment.frames()]


def test_all_faces_or_the_main_one(tmp_path):
    """A small face throughout, a large one in the middle."""
    plans = [plan(i, (5, 5)) for i in range(3)]
    plans += [plan(i, (5, 5), (90 + i, 40)) for i in range(3, 6)]
    plans[4].faces[1] = POINTS * 30 + (94, 40)
    part, = segments(tmp_path, plans, faces='all')
    assert ids(part) == [[0]] * 3 + [[0, 1]] * 3
    assert (part.first, part.stop) == (0, 6)
    (_, faces), = list(part.frames())[4:5]
    assert faces[1].place == 1 and faces[1].origin == 'detected'
    np.testing.assert_allclose(faces[1].landmarks, POINTS * 30 + (94, 40))
    # A square of 45 pixels around (109, 55) fills the crop.
    np.testing.assert_allclose(
        faces[1].crop_matrix @ [109, 55, 1], [15.5, 15.5, 1])
    assert faces[1].crop_matrix[0, 0] == pytest.approx(32 / 45)
    (tmp_path / 'main').mkdir()
    main, = segments(tmp_path / 'main', plans)
    assert ids(main) == [[]] * 3 + [[0]] * 3


def test_segments_end_at_cuts_when_they_are_long_enough(tmp_path):
    plans = [plan(i, (5, 5), cut=i in (20, 60, 115)) for i in range(130)]
    parts = segments(tmp_path, plans)
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
    plans = [plan(i, (5, 5), (90, 40)) for i in range(120)]
    parts = segments(tmp_path, plans, faces='all', consecutive=False)
    assert [part.stop for part in parts] == [50, 100, 120]
    assert ids(parts[0])[:2] == [[0, 1], [2, 3]]


def test_short_gaps_are_filled(tmp_path):
    plans = [plan(0, (5, 5)), plan(1), plan(2, size=None), plan(3, (11, 8)),
             plan(4), plan(5), plan(6), plan(7, (13, 8))]
    part, = segments(tmp_path, plans, fill_gaps=2)
    found = {plan.index: faces for plan, faces in part.frames()}
    # Frame 2 has no image, but its place in the track.
    assert [i for i, faces in found.items() if faces] == [0, 1, 2, 3, 7]
    filled, = found[1]
    assert filled.origin == 'interpolated' and filled.place == 1
    np.testing.assert_allclose(filled.landmarks, POINTS * 20 + (7, 6))
    assert found[3][0].place == 3
    track, = part.tracks
    assert track.frames.tolist() == [0, 1, 2, 3, 7]


def test_the_log_goes_on(tmp_path):
    plans = [plan(i, (5, 5), cut=i == 2) for i in range(5)]
    plans[3].time = .125
    path = tmp_path / 'faces.jsonl'
    log = FaceLog(path)
    list(SegmentCutter(log, CROP)(plans[:4]))
    log.close()
    with open(path, 'ab') as file:
        file.write(b'{"name": "4"}\n{"na')
    log = FaceLog(path)
    assert len(log) == 4
    known = list(log.known())
    assert [entry.cut for entry in known] == [False, False, True, False]
    assert known[3].time == .125 and known[3].size == (100, 200)
    part, = SegmentCutter(log, CROP)([*log.known(), plans[4]])
    np.testing.assert_allclose(
        [faces[0].landmarks for _, faces in part.frames()],
        np.tile(POINTS * 20 + 5, (5, 1, 1)))
    assert ids(part) == [[0], [0], [1], [1], [1]]
    assert len(log) == 5
