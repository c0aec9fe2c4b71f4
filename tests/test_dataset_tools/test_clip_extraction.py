# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.scripted_faces import ScriptedDetector, box_around

from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    build_mask_maker,
    extract,
    extract_clips,
    open_state,
    read_state,
)
from mmtvface.io.video_reader import decode_video

av = pytest.importorskip('av')

SIZE = (240, 320)
TINTS = ((20, 60, 180), (190, 170, 20), (60, 180, 70), (150, 20, 120))
SETTINGS = dict(min_length=5, min_size=20., max_yaw=180., masks='outline',
                image_format='png')


def frames(count, looks=None):
    """Noise that moves, with the number in the first pixel.

    looks: for every frame the picture it shows; a change is a cut.
    """
    pictures = {}
    for number in range(count):
        look = looks[number] if looks else 0
        if look not in pictures:
            rng = np.random.default_rng(look)
            tint = TINTS[look]
            noise = rng.integers(0, 24, (*SIZE, 3))
            pictures[look] = (tint + noise).astype(np.uint8)
        image = np.roll(pictures[look], number, axis=1)
        image[0, 0, :2] = divmod(number, 256)
        yield image


def write(path, images, rate=25, times=None):
    """A lossless video."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE[::-1], 'bgr0'
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def run(tmp_path, script, images=None, name='video', progress=None,
        times=None, **changes):
    """Extract the clips of a scripted video."""
    tmp_path.mkdir(exist_ok=True)
    video = tmp_path / f'{name}.mkv'
    if not video.is_file():
        write(video, images or frames(len(script)), times=times)
    settings = ClipSettings(**{**SETTINGS, **changes})
    state = open_state(tmp_path / 'work', name, dict(name=video.name),
                           settings.fingerprint())
    return extract_clips(video, state, settings, build_mask_maker(settings),
                         ScriptedDetector(script), progress)


def spans(state):
    """First frame and length of every clip."""
    return sorted((clip['first_frame'], clip['num_frames'])
                  for clip in state.clips)


def meta(state, number=0):
    clip = sorted(state.clips, key=lambda clip: clip['id'])[number]
    return json.loads((state.folder / 'clips' / clip['id'] / 'meta.json')
                      .read_text())


def test_two_people_make_two_clips(tmp_path):
    script = [dict(ann=box_around(80 + i, 100), bob=box_around(230, 120, 60))
              for i in range(30)]
    state = run(tmp_path, script)
    assert state.finished and not state.problem
    assert spans(state) == [(0, 30), (0, 30)]
    assert state.frames == 30 and state.faces == 60
    assert {clip['track'] for clip in state.clips} == {0, 1}
    first = meta(state)
    assert first['frames']['number'] == list(range(30))
    assert first['frames']['time'][10] == pytest.approx(.4)
    assert first['fps'] == 25 and first['image_size'] == list(SIZE)
    assert first['source'] == dict(name='video.mkv')
    np.testing.assert_allclose(first['frames']['box'][7],
                               box_around(87, 100), atol=.01)
    assert first['quality']['size'] == pytest.approx(80)


def test_crops_and_landmarks_belong_together(tmp_path):
    script = [dict(ann=box_around(120 + 2 * i, 110)) for i in range(12)]
    state = run(tmp_path, script)
    folder = state.folder / 'clips' / state.clips[0]['id']
    info = meta(state)
    images = list(frames(12))
    for number in (0, 6, 11):
        points = np.load(folder / 'kpt' / f'{number + 1:06d}_kpt2d.npy')
        x, y, side = info['frames']['square'][number]
        zoom = info['side'] / side
        back = (points - (info['side'] - 1) / 2) / zoom + [x, y]
        np.testing.assert_allclose(back.min(0), script[number]['ann'][:2],
                                   atol=.01)
        crop = cv2.imread(str(folder / 'jpg' / f'{number + 1:06d}.png'))
        # The square that meta.json names, cut out of the frame again.
        shift = (info['side'] - 1) / 2 - zoom * np.array([x, y])
        again = cv2.warpAffine(images[number], np.array(
            [[zoom, 0, shift[0]], [0, zoom, shift[1]]]), crop.shape[:2])
        assert np.abs(crop[..., ::-1].astype(int) - again).max() <= 3
        mask = cv2.imread(str(folder / 'seg/masks' / f'{number + 1:06d}.png'),
                          0)
        assert set(np.unique(mask)) == {0, 255}
        assert mask.shape == crop.shape[:2]


def test_a_clip_ends_at_a_cut(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 40
    state = run(tmp_path, script, frames(40, [0] * 17 + [1] * 23))
    assert spans(state) == [(0, 17), (17, 23)]
    assert len({clip['track'] for clip in state.clips}) == 2


def test_a_face_hidden_for_a_moment_keeps_its_number(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 15 + [{}] * 6 + [
        dict(ann=box_around(100, 100))] * 15
    state = run(tmp_path, script)
    assert [start for start, _ in spans(state)] == [0, 21]
    assert {clip['track'] for clip in state.clips} == {0}
    assert state.lost_frames['no face'] == 6


def test_frames_that_are_no_good_end_a_clip_and_are_counted(tmp_path):
    script = [dict(ann=box_around(100, 100, 80 if i < 12 or i > 15 else 60))
              for i in range(30)]
    state = run(tmp_path, script, min_size=70.)
    assert spans(state) == [(0, 12), (16, 14)]
    assert state.lost_frames == {'face too small': 4}


def test_short_runs_are_dropped_and_leave_nothing(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 4 + [{}] * 20
    state = run(tmp_path, script)
    assert state.clips == []
    assert state.lost_clips == {'run too short': 1}
    assert state.lost_frames == {'run too short': 4, 'no face': 20}
    assert not any((state.folder / 'clips').iterdir())
    assert not state.piece.exists()


def test_a_photograph_is_no_clip(tmp_path):
    picture = next(frames(1))

    def still():
        for number in range(20):
            image = picture.copy()
            image[0, 0, :2] = divmod(number, 256)
            yield image

    script = [dict(ann=box_around(100, 100))] * 20
    state = run(tmp_path, script, still())
    assert state.clips == []
    assert state.lost_clips == {'still picture': 1}


def test_long_runs_become_several_clips(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 50
    state = run(tmp_path, script, max_length=20)
    assert spans(state) == [(0, 20), (20, 20), (40, 10)]
    assert {clip['track'] for clip in state.clips} == {0}


def test_a_pause_ends_a_clip_and_times_are_kept(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 24
    times = [*range(12), *range(62, 74)]
    state = run(tmp_path, script, times=times)
    assert spans(state) == [(0, 12), (12, 12)]
    assert meta(state, 1)['frames']['time'][0] == pytest.approx(62 / 25)


def interrupted(at):
    """A progress function like Ctrl-C after some frames."""
    def stop(done, total):
        if done > at:
            raise KeyboardInterrupt
    return stop


@pytest.mark.parametrize('at, kept', [(5, 0), (30, 1), (55, 3)])
def test_an_interrupted_run_goes_on(tmp_path, at, kept):
    script = [dict(ann=box_around(100, 100))] * 80
    looks = [i // 20 for i in range(80)]
    options = dict(segment_length=20)
    whole = run(tmp_path / 'whole', script, frames(80, looks), **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, script, frames(80, looks),
            progress=interrupted(at), **options)
    clips = tmp_path / 'work' / 'clips'
    done = {path: path.stat().st_mtime_ns
            for path in clips.glob('*/meta.json')}
    assert len(done) == kept
    again = run(tmp_path, script, **options)
    assert spans(again) == spans(whole) == [
        (0, 20), (20, 20), (40, 20), (60, 20)]
    assert again.frames == whole.frames == 80
    assert again.lost_frames == whole.lost_frames
    assert {clip['track'] for clip in again.clips} == {0, 1, 2, 3}
    assert all(path.stat().st_mtime_ns == time
               for path, time in done.items())
    # Finished: the video is not opened any more.
    (tmp_path / 'video.mkv').unlink()
    assert spans(run(tmp_path, [], iter(()), **options)) == spans(whole)


def test_joined_recordings_continue_at_the_right_frame(tmp_path, monkeypatch):
    # The clock starts anew in the middle: a time names two frames.
    def joined(*arguments):
        for frame in decode_video(*arguments):
            yield replace(frame, time=frame.index % 30 / 25)

    monkeypatch.setattr(extract, 'decode_video', joined)
    script = [dict(ann=box_around(100, 100))] * 60
    options = dict(segment_length=10)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, script, progress=interrupted(45), **options)
    assert read_state(tmp_path / 'work').next_frame >= 40
    state = run(tmp_path, script, **options)
    assert spans(state) == [(i, 10) for i in range(0, 60, 10)]
    assert state.frames == 60 and not state.problem


def test_pieces_of_a_long_shot_keep_the_person(tmp_path):
    script = [dict(ann=box_around(100, 100))] * 60
    state = run(tmp_path, script, segment_length=25)
    assert spans(state) == [(0, 25), (25, 25), (50, 10)]
    assert {clip['track'] for clip in state.clips} == {0}


def test_what_is_no_video_is_said(tmp_path):
    (tmp_path / 'video.mkv').write_text('no video')
    state = run(tmp_path, [])
    assert state.finished and state.clips == []
    assert 'cannot be opened as a video' in state.problem
