# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Whatever is given: a clear error or a report, and nothing is harmed."""

import cv2
import numpy as np
import pytest
from helpers.toy_pictures import POINTS, find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor
from mmtvface.export.save import save_results
from mmtvface.io.video_writer import write_video

#: What the API may raise for bad input.
CLEAR = (ValueError, OSError)
ROUNDS = 200


def image_bytes(rng):
    """A picture, a video or noise as the bytes of a file."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.bytes(int(rng.integers(0, 300))), '.png'
    if kind == 1:
        return cv2.imencode('.png', picture())[1].tobytes(), '.png'
    return cv2.imencode('.jpg', picture())[1].tobytes(), '.jpg'


def damaged(rng, data):
    """The bytes cut off, overwritten, or as they are."""
    data = bytearray(data)
    kind = rng.integers(3)
    if kind == 0:
        return bytes(data[:int(rng.integers(0, len(data) + 1))])
    if kind == 1 and data:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return bytes(data)


def landmark_file(rng, path):
    """Landmarks of some shape, type and content."""
    good = POINTS * 39 + [40, 30]
    some = np.where(np.arange(68)[:, None] == 30, np.nan, good)
    points = [good, np.full((68, 2), np.nan), some, good.astype(int),
              good.astype(complex), good > 60, np.zeros((68, 2)),
              np.zeros((5, 2)), np.zeros((68, 3)), np.array(['x'] * 68),
              np.array([]), 1e30 * np.ones((68, 2)), np.array(3.),
              np.array({'a': 1}, dtype=object)][int(rng.integers(14))]
    np.save(path, points)
    if rng.random() < .3:
        path.write_bytes(damaged(rng, path.read_bytes()))


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Videos of six frames and of one, as the bytes of files."""
    path = tmp_path_factory.mktemp('video') / 'a.mp4'
    return [write_video(path, [picture(x=30 + i) for i in range(count)]
                        ).read_bytes() for count in (6, 1)]


def make_input(rng, folder, videos):
    """A file or folder that may be broken in any way."""
    folder.mkdir()
    kind = rng.integers(3)
    if kind == 0:
        path = folder / ['a.mp4', 'a.mkv', 'a', 'a.txt'][int(rng.integers(4))]
        path.write_bytes(damaged(rng, videos[int(rng.integers(2))]))
        return path
    clip = kind == 1
    pictures = folder / 'jpg' if clip else folder
    pictures.mkdir(exist_ok=True)
    for index in range(int(rng.integers(0, 4))):
        data, suffix = image_bytes(rng)
        (pictures / f'{index}{suffix}').write_bytes(damaged(rng, data))
        if clip and rng.random() < .8:
            (folder / 'kpt').mkdir(exist_ok=True)
            landmark_file(rng, folder / 'kpt' / f'{index}_kpt2d.npy')
    if rng.random() < .3:
        (folder / 'notes.txt').write_bytes(rng.bytes(20))
        (folder / 'video.mp4').write_bytes(damaged(rng, videos[0]))
        (folder / '.hidden.png').write_bytes(b'')
        (folder / 'folder.png').mkdir()
    if clip and rng.random() < .3:
        (folder / 'serial.npy').write_bytes(rng.bytes(50))
    return folder


def test_any_input_ends_well(model_files, tmp_path, videos):
    rng = np.random.default_rng(0)
    reconstructor = FaceReconstructor(
        *model_files, device='cpu', detector=find_bright_boxes)
    painter = reconstructor.build_painter(16)
    out = tmp_path / 'out'
    good = save_results(reconstructor(picture()), picture(), out, painter,
                        ('codes', ))
    kept = {path: path.read_bytes() for path in out.rglob('*')
            if path.is_file()}
    outcomes = dict(fine=0, skipped=0, refused=0)
    for number in range(ROUNDS):
        source = make_input(rng, tmp_path / str(number), videos)
        try:
            results = list(reconstructor(source))
        except CLEAR as error:
            outcomes['refused'] += 1
            assert len(str(error)) > 20
            # Nothing is touched before the first result.
            with pytest.raises(CLEAR):
                save_results(reconstructor(source), source, out, painter,
                             ('codes', ))
            assert all(path.read_bytes() == data
                       for path, data in kept.items())
            continue
        bad = [result for result in results if not result.valid]
        outcomes['skipped' if bad else 'fine'] += 1
        assert all(result.problem for result in bad)
        for result in results:
            if result.valid:
                assert np.isfinite(result.vertices).all()
    assert good['frames'] == 1 and min(outcomes.values()) > 3, outcomes


@pytest.mark.parametrize('bad', [
    [np.zeros((4, 4, 3))], [np.zeros((4, 4), bool)], [np.zeros((0, 0, 3))],
    np.zeros((2, 3, 4, 5, 6), np.uint8), [np.zeros(3, np.uint8)], [],
    [[1, 2]], 'no such file.mp4'])
def test_arrays_that_are_no_frames(model_files, bad):
    reconstructor = FaceReconstructor(
        *model_files, device='cpu', detector=find_bright_boxes)
    with pytest.raises(CLEAR):
        list(reconstructor(bad))
