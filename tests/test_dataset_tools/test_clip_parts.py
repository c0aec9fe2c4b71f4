# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.toy_pictures import POINTS

from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    open_state,
    read_state,
)
from mmtvface.dataset_tools.clip_maker.clip_writer import ClipFrame, ClipWriter
from mmtvface.dataset_tools.clip_maker.face_run import (
    LazySquare,
    on_pixels,
)
from mmtvface.dataset_tools.clip_maker.frame_check import measure_face, refuse
from mmtvface.tracking.detectors import FaceLandmarks
from mmtvface.tracking.face_track import TrackedFace

BOX = np.array([100., 100., 180., 180.])


def test_square_rests_when_the_face_does():
    square = LazySquare(BOX, 2.2)
    for _ in range(5):
        center, side = square.follow(BOX)
    np.testing.assert_allclose(center, [140, 140])
    assert side == pytest.approx(176)


def test_square_follows_slowly_but_keeps_the_face():
    square = LazySquare(BOX, 2.2)
    center, side = square.follow(BOX + 10)
    # 15 % of the way, while there is room.
    np.testing.assert_allclose(center, [141.5, 141.5])
    for step in range(2, 40):
        moved = BOX + 10 * step
        center, side = square.follow(moved)
        # 1.6 of the face stays inside.
        assert (np.abs(center - (moved[:2] + moved[2:]) / 2)
                <= (side - 1.6 * 80) / 2 + 1e-9).all()
    assert side == pytest.approx(176)


def test_square_grows_with_a_face_that_comes_near():
    square = LazySquare(BOX, 2.2)
    large = np.array([0., 0., 400., 400.])
    _, side = square.follow(large)
    assert side == pytest.approx(1.6 * 400)
    for _ in range(200):
        _, side = square.follow(large)
    assert side == pytest.approx(2.2 * 400, rel=1e-3)


def test_squares_are_copied_pixel_by_pixel_where_they_can_be():
    center = np.array([140.3, 139.8])
    for side in (150., 176., 210.):
        place, pixels = on_pixels(center, side, BOX, 176)
        assert place.tolist() == [140.5, 139.5] and pixels == 176
    # It goes along with a face that would leave it.
    assert on_pixels(center, 176., BOX + 40, 176)[0][0] == 155.5
    # A stored image that is too small or too large, or no room for the face
    for side, box in ((220., BOX), (130., BOX),
                      (176., np.array([80., 100., 200., 180.]))):
        place, pixels = on_pixels(center, side, box, 176)
        assert place is center and pixels == side


def face(box, confidence=.9):
    box = np.asarray(box, float)
    points = POINTS * (box[2:] - box[:2]) + box[:2]
    return TrackedFace(0, FaceLandmarks(points, confidence))


def picture(size=(300, 400), seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize('box, confidence, changes, reason', [
    (BOX, .9, {}, ''),
    (BOX, .9, dict(min_size=81.), 'face too small'),
    (BOX - [150, 0, 150, 0], .9, {}, 'face cut off by the edge'),
    (BOX, .4, {}, 'landmarks uncertain'),
    (BOX, .9, dict(max_yaw=0.), 'head turned too far'),
    (BOX, .9, dict(min_sharpness=60.), 'blurred'),
])
def test_why_a_face_is_refused(box, confidence, changes, reason):
    image, one = picture(), face(box, confidence)
    measures = measure_face(image, None, one)
    assert measures.size == pytest.approx(80)
    assert refuse(measures, one.landmarks.points, image.shape[:2],
                  ClipSettings(**changes)) == reason


def test_a_pose_that_is_no_number_is_refused():
    one = face(BOX)
    measures = replace(measure_face(picture(), None, one), yaw=float('nan'))
    assert refuse(measures, one.landmarks.points, (300, 400),
                  ClipSettings(max_yaw=180.)) == 'head turned too far'


def test_blur_and_stillness_are_measured_inside_the_face():
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3),
                                              dtype=np.uint8)
    blurred = cv2.GaussianBlur(image, (0, 0), 4)
    one = face(BOX)
    assert (measure_face(blurred, None, one).sharpness
            < .5 * measure_face(image, None, one).sharpness)
    beside = image.copy()
    beside[:, 250:] = 0
    assert measure_face(image, beside, one).still
    assert not measure_face(image, blurred, one).still
    assert not measure_face(image, None, one).still


def stored(number):
    rng = np.random.default_rng(number)
    return ClipFrame(
        picture((64, 64), number), rng.uniform(10, 50, (68, 2)),
        (rng.random((64, 64)) > .5).astype(np.uint8), dict(number=number))


def test_writer_makes_what_the_dataset_reads(tmp_path):
    from mmtvface.datasets import FaceClipDataset
    folder = tmp_path / 'clip'
    with ThreadPoolExecutor(1) as pool:
        writer = ClipWriter(folder, pool, 'png', 95)
        for number in range(12):
            writer.add(stored(number))
        meta = writer.finish(dict(id='clip'))
    assert meta['frames']['number'] == list(range(12))
    assert json.loads((folder / 'meta.json').read_text()) == meta
    saved = cv2.imread(str(folder / 'jpg' / '000012.png'))
    np.testing.assert_array_equal(saved[..., ::-1], stored(11).image)
    np.testing.assert_allclose(
        np.load(folder / 'kpt' / '000003_kpt2d.npy'), stored(2).landmarks,
        rtol=1e-6)
    np.testing.assert_array_equal(
        cv2.imread(str(folder / 'seg/masks/000005.png'), 0),
        stored(4).mask * 255)
    assert list(np.load(folder / 'serial.npy')[:2]) == [
        '000001.png', '000002.png']
    data = FaceClipDataset(str(tmp_path), clip_length=3, image_size=32)
    assert len(data) == 10
    assert data[0]['data_samples'].gt_masks.shape == (3, 1, 32, 32)


def test_writer_tells_of_a_full_disk(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        writer = ClipWriter(tmp_path / 'clip', pool, 'jpg', 95)
        (tmp_path / 'clip' / 'kpt').rmdir()
        writer.add(stored(0))
        with pytest.raises(OSError):
            writer.finish({})


def state_of(folder):
    return open_state(folder, 'video', dict(name='video.mp4'), 'abc')


def test_state_is_kept(tmp_path):
    state = state_of(tmp_path / 'video')
    state.lost_frames['no face'] += 3
    state.next_frame, state.next_time = 40, 1.6
    state.commit()
    again = state_of(tmp_path / 'video')
    assert again == state
    again.lost_frames['blurred'] += 1  # still a counter
    with pytest.raises(ValueError, match='made with other settings'):
        open_state(tmp_path / 'video', 'video', {}, 'other')
    assert read_state(tmp_path) is None


def test_a_segment_killed_before_its_state_is_forgotten(tmp_path):
    state = state_of(tmp_path)
    (state.piece / 'video_0').mkdir(parents=True)
    state.clips.append(dict(id='video_0'))  # not committed
    again = state_of(tmp_path)
    assert again.clips == []
    assert not again.piece.exists()
    assert not (tmp_path / 'clips' / 'video_0').exists()


def test_a_segment_killed_after_its_state_is_completed(tmp_path,
                                                         monkeypatch):
    state = state_of(tmp_path)
    for name in ('video_0', 'video_1'):
        (state.piece / name).mkdir(parents=True)
        state.clips.append(dict(id=name))
    monkeypatch.setattr(type(state), '_publish', lambda self: None)
    state.commit()  # the state is written, and then nothing
    monkeypatch.undo()
    again = state_of(tmp_path)
    assert [clip['id'] for clip in again.clips] == ['video_0', 'video_1']
    assert sorted(p.name for p in (tmp_path / 'clips').iterdir()) == [
        'video_0', 'video_1']


@pytest.mark.parametrize('text', ['{', '[]', '{"key": 1}'])
def test_a_damaged_state_names_file_and_remedy(tmp_path, text):
    (tmp_path / 'progress.json').write_text(text)
    with pytest.raises(ValueError, match='progress.json.*Delete the folder'):
        state_of(tmp_path)
