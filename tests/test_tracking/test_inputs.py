# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest

from mmtvface.io.clip_index import natural_key
from mmtvface.io.video_writer import write_video
from mmtvface.tracking.frame_source import open_frames


def image(value=100, size=(20, 31)):
    return np.full((*size, 3), value, np.uint8)


def test_folder_in_natural_order_with_broken_and_hidden_files(tmp_path):
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f'f{number}.png'), image(number))
    (tmp_path / 'f2.jpg').write_bytes(b'no image')
    (tmp_path / '._f1.png').write_bytes(b'')
    (tmp_path / 'notes.txt').write_text('x')
    source = open_frames(tmp_path)
    frames = list(source)
    assert [f.name for f in frames] == ['f1', 'f2', 'f9', 'f10']
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert frames[1].image is None and 'f2.jpg' in frames[1].problem
    assert [f.image[0, 0, 0] for f in frames if f.image is not None] == [
        1, 9, 10]
    # A source can be read again.
    assert len(list(source)) == len(source) == 4


def test_same_stem_gets_distinct_names(tmp_path):
    for suffix in ('png', 'jpg'):
        cv2.imwrite(str(tmp_path / f'a.{suffix}'), image())
    assert [f.name for f in open_frames(tmp_path)] == ['a_jpg', 'a_png']


def test_same_file_name_in_two_folders_gets_distinct_names(tmp_path):
    paths = [tmp_path / part / name for part, name in (
        ('a', '1.png'), ('b', '1.png'), ('b', '2.png'))]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image())
    assert [f.name for f in open_frames(paths)] == [
        '000000_1', '000001_1', '2']


@pytest.mark.parametrize('content', [
    image()[..., 0], np.dstack([image(), image()[..., 0]]),
    image().astype(np.uint16) * 257])
def test_grey_alpha_and_16_bit_files(tmp_path, content):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), content)
    frame, = open_frames(path)
    np.testing.assert_array_equal(frame.image, image())


def test_colors_are_rgb(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255  # BGR
    cv2.imwrite(str(tmp_path / 'a.png'), red)
    frame, = open_frames(tmp_path / 'a.png')
    assert frame.image[0, 0].tolist() == [255, 0, 0]


def make_clip(folder, names=('00001', '00002', '00010')):
    (folder / 'jpg').mkdir(parents=True)
    (folder / 'kpt').mkdir()
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / 'jpg' / f'{name}.jpg'), image(10 * i))
        np.save(folder / 'kpt' / f'{name}_kpt2d.npy',
                np.random.default_rng(i).uniform(0, 20, (68, 2)))
    return folder


def test_clip_folder_with_landmarks_and_order(tmp_path):
    clip = make_clip(tmp_path / 'id1')
    frames = list(open_frames(clip))
    assert [f.name for f in frames] == ['00001', '00002', '00010']
    np.testing.assert_allclose(
        frames[2].landmarks, np.load(clip / 'kpt' / '00010_kpt2d.npy'),
        atol=1e-5)
    np.save(clip / 'serial.npy', np.array(['00010.jpg', '00001.jpg']))
    assert [f.name for f in open_frames(clip)] == ['00010', '00001']


def test_missing_or_bad_landmarks_are_reported(tmp_path):
    clip = make_clip(tmp_path / 'id1')
    (clip / 'kpt' / '00001_kpt2d.npy').unlink()
    np.save(clip / 'kpt' / '00002_kpt2d.npy', np.zeros((5, 2)))
    frames = list(open_frames(clip))
    assert frames[0].landmarks is None and frames[0].problem == ''
    assert frames[1].landmarks is None and frames[1].image is not None
    assert '(5, 2)' in frames[1].problem
    assert frames[2].landmarks is not None


def test_arrays():
    stack = np.stack([image(1), image(2)])
    assert [f.image[0, 0, 0] for f in open_frames(stack)] == [1, 2]
    frame, = open_frames(image())
    assert frame.name == '000000'
    gray, = open_frames([image()[..., 0]])
    assert gray.image.shape == (20, 31, 3)
    rgba, = open_frames([np.zeros((4, 5, 4), np.uint8)])
    assert rgba.image.shape == (4, 5, 3)
    with pytest.raises(ValueError, match='uint8.*float64'):
        open_frames([image() / 255])
    with pytest.raises(ValueError, match=r'\(3, 20, 31\)'):
        open_frames([image().transpose(2, 0, 1)])
    with pytest.raises(ValueError, match='empty'):
        open_frames([])


def test_video(tmp_path):
    path = write_video(tmp_path / 'a.mp4', [image(), image()], fps=10)
    source = open_frames(path)
    assert source.fps == pytest.approx(10)
    assert [f.name for f in source] == ['000000', '000001']
    # The content counts where the suffix says nothing.
    renamed = path.rename(tmp_path / 'video.data')
    assert len(list(open_frames(renamed))) == 2


def test_unusable_paths_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.mp4'):
        open_frames(tmp_path / 'nothing.mp4')
    with pytest.raises(ValueError, match='nothing in it'):
        open_frames(tmp_path)
    (tmp_path / 'a.txt').write_text('x')
    with pytest.raises(ValueError, match='no images.*.txt'):
        open_frames(tmp_path)
    with pytest.raises(ValueError, match='cannot be opened as a video'):
        open_frames(tmp_path / 'a.txt')
    make_clip(tmp_path / 'id1')
    with pytest.raises(ValueError, match="'id1'.*pass one"):
        open_frames(tmp_path)
    with pytest.raises(FileNotFoundError, match='gone.png'):
        open_frames([tmp_path / 'gone.png'])


def test_natural_key_orders_mixed_names():
    names = ['b2', 'a10', '3', 'a9', 'B1', '20']
    assert sorted(names, key=natural_key) == [
        '3', '20', 'a9', 'a10', 'B1', 'b2']
