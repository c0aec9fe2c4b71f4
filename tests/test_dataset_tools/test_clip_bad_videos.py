# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import re

import cv2
import numpy as np
import pytest
from helpers.scripted_faces import ScriptedDetector, box_around

from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    build_mask_maker,
    extract_clips,
    find_videos,
    open_state,
)
from mmtvface.io.video_reader import read_video

pytest.importorskip('av')

from helpers.bad_videos import (
    encode_sound,
    encode_video,
    moving_frames,
    overwrite_middle,
    set_rotation,
    truncate,
)

FACE = box_around(120, 110)


class Steady(ScriptedDetector):
    """Sees one face at the same place, whatever a frame shows.

    sizes: of the frames that were searched.
    """

    def __init__(self, box=FACE):
        super().__init__([])
        self.box, self.sizes = box, set()

    def visible(self, image):
        self.sizes.add(image.shape[:2])
        return dict(ann=self.box) if self.box else {}


def run(video, backend=None, **changes):
    """State of a video, after it was written and read again."""
    settings = ClipSettings(**{**dict(
        min_length=5, min_size=20., max_yaw=180.), **changes})
    work = video.parent / f'work-{video.name}'
    extract_clips(video, open_state(work, 'video', {}, 'x'), settings,
                  build_mask_maker(settings), backend or Steady())
    state = open_state(work, 'video', {}, 'x')
    assert state.finished and not state.piece.exists()
    for clip in state.clips:
        folder = state.folder / 'clips' / clip['id']
        for part in ('jpg', 'kpt', 'seg/masks'):
            assert len(list((folder / part).iterdir())) == clip['num_frames']
    return state


def meta(state, clip):
    return json.loads((state.folder / 'clips' / clip['id'] / 'meta.json')
                      .read_text())


def spans(state):
    return sorted((clip['first_frame'], clip['num_frames'])
                  for clip in state.clips)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A flawless video of 40 frames, each packet of which stands alone."""
    return encode_video(tmp_path_factory.mktemp('whole') / 'a.mkv',
                        moving_frames(40), g='1')


def test_damage_in_the_middle_costs_only_the_middle(tmp_path, whole):
    assert spans(run(encode_video(
        tmp_path / 'a.mkv', moving_frames(40), g='1'))
    ) == [(0, 40)]
    broken = overwrite_middle(whole, tmp_path / 'broken.mkv')
    state = run(broken)
    assert 'broken packets skipped' in state.problem
    assert f'{state.frames} frames decoded of 40' in state.problem
    first, last = spans(state)[0], spans(state)[-1]
    assert first[0] == 0 and 12 <= first[1] <= 19
    assert 30 <= sum(last) < 41 and last[1] >= 12
    # No clip runs over the gap.
    for clip in state.clips:
        times = meta(state, clip)['frames']['time']
        assert np.diff(times).max() < 0.13


def test_guessed_parts_of_frames_are_not_used(tmp_path):
    frames = moving_frames(50)
    path = encode_video(tmp_path / 'a.avi', frames, 'mpeg4', 'yuv420p',
                        g='10', qmin='5', qmax='5')
    broken = overwrite_middle(path, tmp_path / 'broken.avi', 0.01)
    state = run(broken)
    good, bad = list(read_video(path)), list(read_video(broken))
    wrong = [number for number, pair in enumerate(zip(good, bad, strict=True))
             if (pair[0] != pair[1]).any()]
    # Up to the next key frame all are wrong, and none of them is used.
    assert wrong == list(range(wrong[0], wrong[-1] + 1))
    assert len(wrong) > 1 and (wrong[-1] + 1) % 10 == 0
    assert spans(state) == [(0, wrong[0]),
                              (wrong[-1] + 1, 49 - wrong[-1])]
    assert state.lost_frames == {'damaged': len(wrong)}
    used = [number for clip in state.clips
            for number in meta(state, clip)['frames']['number']]
    assert len(used) + sum(state.lost_frames.values()) == state.frames


def test_a_truncated_video_gives_its_beginning(tmp_path, whole):
    state = run(truncate(whole, tmp_path / 'half.mkv'))
    assert spans(state) == [(0, state.frames)]
    assert 15 < state.frames < 25
    assert f'{state.frames} frames decoded of 40' in state.problem


@pytest.mark.parametrize('make, reason', [
    (lambda path: truncate(encode_video(
        path.with_name('whole.mp4'), moving_frames(10), 'mpeg4', 'yuv420p'),
        path), 'its header is missing'),
    (encode_sound, "no video stream, only .'audio'"),
    (lambda path: path.write_text('This is no video.'), 'It is no video'),
    (lambda path: path.write_bytes(bytes(range(256)) * 400),
     'It is no video'),
])
def test_what_cannot_be_read_is_finished_with_a_reason(tmp_path, make,
                                                       reason):
    path = tmp_path / 'video.mp4'
    make(path)
    state = run(path)
    assert not state.clips and not state.frames
    assert re.search(reason, state.problem)
    assert 'video.mp4' in state.problem


@pytest.mark.parametrize('name, codec, pix_fmt', [
    ('a.mp4', 'libx264', 'yuv444p'), ('a.mkv', 'ffv1', 'gray'),
    ('a.mkv', 'ffv1', 'yuv420p10le'), ('a.mkv', 'ffv1', 'gray16le'),
    ('a.mov', 'png', 'rgba'), ('a.gif', 'gif', 'rgb8'),
])
def test_odd_pixel_formats(tmp_path, name, codec, pix_fmt):
    frames = moving_frames(8)
    for frame in frames:
        frame[80:140, 90:150] = 240, 90, 40
    state = run(encode_video(tmp_path / name, frames, codec, pix_fmt))
    assert spans(state) == [(0, 8)] and not state.problem
    folder = state.folder / 'clips' / state.clips[0]['id']
    crop = cv2.imread(str(folder / 'jpg' / '000004.jpg'))
    middle = crop[crop.shape[0] // 2, crop.shape[1] // 2, ::-1].astype(int)
    # The colour of the patch; of grey videos its lightness.
    expected = (np.full(3, 0.299 * 240 + 0.587 * 90 + 0.114 * 40)
                if 'gray' in pix_fmt else np.array([240, 90, 40]))
    assert np.abs(middle - expected).max() < 25


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_videos_of_turned_telephones_are_upright(tmp_path, degrees):
    # Stored lying; the bright corner says how it is seen.
    frames = moving_frames(8, (160, 240))
    for frame in frames:
        frame[:60, :60] = 250
    path = encode_video(tmp_path / 'a.mp4', frames, 'libx264', 'yuv420p')
    set_rotation(path, degrees)
    backend = Steady(box_around(80, 80, 60))
    state = run(path, backend, margin=2.)
    upright = (160, 240) if degrees == 180 else (240, 160)
    assert backend.sizes == {upright}
    assert spans(state) == [(0, 8)]
    assert meta(state, state.clips[0])['image_size'] == list(upright)
    image = next(read_video(path)).astype(int)
    corners = [image[20, 20, 0], image[20, -20, 0], image[-20, -20, 0],
               image[-20, 20, 0]]
    assert np.argmax(corners) == degrees // 90  # clockwise


@pytest.mark.parametrize('name, codec, pix_fmt', [
    ('a.mkv', 'ffv1', 'bgr0'), ('a.mp4', 'libx264', 'yuv420p')])
def test_uneven_times_are_kept_and_a_pause_ends_a_run(tmp_path, name, codec,
                                                      pix_fmt):
    rng = np.random.default_rng(0)
    steps = rng.integers(21, 60, 24)
    steps[0], steps[12] = 0, 3000
    times = np.cumsum(steps)
    state = run(encode_video(tmp_path / name, moving_frames(24), codec,
                               pix_fmt, times=times.tolist()))
    assert spans(state) == [(0, 12), (12, 12)]
    assert not state.problem  # fewer frames than duration times rate
    found = np.concatenate([meta(state, clip)['frames']['time'] for clip in
                            sorted(state.clips, key=lambda c: c['id'])])
    np.testing.assert_allclose(found, times / 1000, atol=2e-3)


def test_no_face_at_all(tmp_path):
    state = run(encode_video(tmp_path / 'a.mkv', moving_frames(12)),
                  Steady(None))
    assert not state.clips and not state.problem
    assert state.lost_frames == {'no face': 12} and state.frames == 12


def test_large_videos(tmp_path):
    image = np.tile(moving_frames(1, (240, 320))[0], (9, 12, 1))
    frames = [image, image + 5, image + 10]
    path = encode_video(tmp_path / 'a.mp4', frames, 'libx264', 'yuv420p',
                        preset='ultrafast')
    state = run(path, Steady(box_around(1900, 1000, 900)), max_side=256,
                  min_length=3)
    assert spans(state) == [(0, 3)]
    info = meta(state, state.clips[0])
    assert info['image_size'] == [2160, 3840] and info['side'] == 256
    assert info['frames']['square'][0][2] == pytest.approx(2.2 * 900)


@pytest.mark.parametrize('name, codec, pix_fmt', [
    ('a.mkv', 'ffv1', 'bgr0'), ('a.mp4', 'libx264', 'yuv420p'),
    ('a.gif', 'gif', 'rgb8')])
def test_a_video_of_one_frame(tmp_path, name, codec, pix_fmt):
    path = encode_video(tmp_path / name, moving_frames(1), codec, pix_fmt)
    state = run(path)
    assert not state.clips and state.frames == 1
    assert state.lost_clips == {'run too short': 1}
    assert spans(run(path.rename(tmp_path / f'b-{name}'),
                     min_length=1)) == [(0, 1)]


def test_odd_sizes(tmp_path):
    path = encode_video(tmp_path / 'a.mkv', moving_frames(8, (251, 333)))
    backend = Steady()
    assert spans(run(path, backend)) == [(0, 8)]
    assert backend.sizes == {(251, 333)}


def test_folders_and_files_without_videos_are_left_out(tmp_path):
    for name in ('videos', 'notes', 'nothing'):
        (tmp_path / name).mkdir()
    (tmp_path / 'videos/a.mp4').write_text('a video or not')
    (tmp_path / 'videos/empty.mp4').write_bytes(b'')
    (tmp_path / 'notes/plan.txt').write_text('x')
    videos, skipped = find_videos(sorted(tmp_path.iterdir()))
    assert [video.path.name for video in videos] == ['a.mp4']
    reasons = {path.rsplit('/')[-1]: why for path, why in skipped.items()}
    assert set(reasons) == {'empty.mp4', 'notes', 'nothing'}
    assert reasons['empty.mp4'] == 'the file is empty'
    assert 'found 1 other files, e.g. plan.txt' in reasons['notes']
    assert 'found no file' in reasons['nothing']
    with pytest.raises(FileNotFoundError,
                       match='no video in .*notes: .*plan.txt.*nothing: '):
        find_videos([tmp_path / 'notes', tmp_path / 'nothing'])


def test_a_missing_video_is_tried_again(tmp_path):
    settings = ClipSettings()
    state = open_state(tmp_path / 'work', 'video', {}, 'x')
    with pytest.raises(FileNotFoundError, match=r'gone\.mkv'):
        extract_clips(tmp_path / 'gone.mkv', state, settings,
                      build_mask_maker(settings), Steady())
    assert not open_state(tmp_path / 'work', 'video', {}, 'x').finished


def test_a_fault_of_the_program_does_not_finish_a_video(tmp_path):
    class Faulty(Steady):
        def visible(self, image):
            raise ValueError('a fault')

    path = encode_video(tmp_path / 'a.mkv', moving_frames(8))
    settings = ClipSettings(min_length=5)
    state = open_state(tmp_path / 'work', 'video', {}, 'x')
    with pytest.raises(ValueError, match='a fault'):
        extract_clips(path, state, settings, build_mask_maker(settings),
                      Faulty())
    assert not open_state(tmp_path / 'work', 'video', {}, 'x').finished
