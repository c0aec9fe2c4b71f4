# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    find_videos,
    video_key,
)


def test_keys_follow_contents(tmp_path):
    first, second = tmp_path / 'My video, 1.mp4', tmp_path / 'b.mkv'
    first.write_bytes(b'x' * 200_000)
    second.write_bytes(b'x' * 199_999 + b'y')
    assert video_key(first).startswith('My-video-1-')
    assert video_key(first)[-8:] != video_key(second)[-8:]
    # Recordings of one size may begin and end in black.
    second.write_bytes(b'x' * 100_000 + b'y' + b'x' * 99_999)
    assert video_key(first)[-8:] != video_key(second)[-8:]
    moved = tmp_path / 'moved.mp4'
    moved.write_bytes(first.read_bytes())
    assert video_key(moved)[-8:] == video_key(first)[-8:]
    strange = tmp_path / '...'
    strange.write_bytes(b'1')
    assert video_key(strange).startswith('video-')


def test_folders_are_searched_and_copies_left_out(tmp_path):
    (tmp_path / 'season 1').mkdir()
    (tmp_path / 'a.mp4').write_bytes(b'a')
    (tmp_path / 'season 1' / 'b.MKV').write_bytes(b'b')
    (tmp_path / 'season 1' / 'copy of a.mov').write_bytes(b'a')
    (tmp_path / 'empty.avi').write_bytes(b'')
    (tmp_path / 'notes.txt').write_text('no video')
    videos, skipped = find_videos([tmp_path, tmp_path / 'a.mp4'])
    assert [video.path.name for video in videos] == ['a.mp4', 'b.MKV']
    assert {path.rsplit('/')[-1]: why.split()[0]
            for path, why in skipped.items()} == {
                'empty.avi': 'the', 'copy of a.mov': 'same'}
    assert videos[1].as_dict() == dict(name='b.MKV', folder='season 1',
                                       bytes=1)


def test_a_wrong_place_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match='no video or folder.*gone'):
        find_videos([tmp_path / 'gone'])
    (tmp_path / 'a.srt').write_text('x')
    with pytest.raises(FileNotFoundError,
                       match='looked for .mp4.*found 1 other files.*a.srt'):
        find_videos([tmp_path])


@pytest.mark.parametrize('wrong, message', [
    (dict(masks='skin'), "masks must be one of .*'skin'"),
    (dict(image_format='bmp'), 'image_format'),
    (dict(margin=.5), 'margin must be at least 1 and at most 10'),
    (dict(min_length=9, max_length=8), 'max_length must be at least 9'),
    (dict(masks='parsing'), 'parsing_bisenet.pth'),
    (dict(cut_threshold=0.), 'cut_threshold must be at least 1'),
    (dict(min_sharpness=-1.), 'min_sharpness must be at least 0'),
    (dict(detect_every=0), 'detect_every must be at least 1'),
])
def test_wrong_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        ClipSettings(**wrong)


def test_fingerprint_tells_results_apart():
    assert ClipSettings().fingerprint() == ClipSettings(
        device='cuda').fingerprint()
    assert ClipSettings().fingerprint() != ClipSettings(
        quality=94).fingerprint()
