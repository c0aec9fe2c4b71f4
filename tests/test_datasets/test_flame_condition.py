# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import os

import numpy as np
import pytest
from helpers.head_codes import head_codes, write_codes

from mmtvface.datasets.reconstructed_heads import ReconstructedHeads
from mmtvface.datasets.transforms import flame_condition
from mmtvface.datasets.transforms.flame_condition import (
    AddFlameCondition,
    encode_uv,
)
from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.geometry.encodings import decode_normals
from mmtvface.registry import TRANSFORMS

SIZE = (60, 80)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Codes of frames of 120 x 160: straight, turned, none, two heads."""
    folder = tmp_path_factory.mktemp('codes')
    write_codes(folder / 'clip' / 'codes.npz', head_codes(
        ['0', '1', '2', '3', '3'], yaw=[0, .6, 0, 0, 0],
        center=[(80, 60), (80, 60), (80, 60), (40, 60), (85, 60)],
        scale=[400, 400, 400, 400, 200], valid=[1, 1, 0, 1, 1],
        size=(120, 160)))
    return folder


@pytest.fixture(scope='module')
def transform(folder):
    return TRANSFORMS.build(dict(
        type='AddFlameCondition', codes=f'{folder}/{{clip}}/codes.npz',
        maps=['normals', 'uv']))


def paths(*names):
    return [f'any/clip/{name}.png' for name in names]


def test_normals_of_heads_in_place(transform, folder):
    drawn = transform.draw(paths('0', '1', '2'), SIZE)
    assert drawn.shape == (3, *SIZE, 6) and drawn.dtype == np.uint8
    assert not drawn[2].any()  # no face was found
    normals = decode_normals(drawn[0, ..., :3])
    covered = np.isfinite(normals[..., 0])
    rows, cols = np.nonzero(covered)
    # Scale 400 pixels a metre, halved: the head is some 20 cm wide.
    assert 25 < np.ptp(cols) < 55
    # a symmetric head, seen from the front at pixel 80 of 160
    np.testing.assert_allclose(cols.mean(), (80 + .5) / 2 - .5, atol=.5)
    middle = normals[covered].mean(0)
    assert abs(middle[0]) < .02 and middle[2] > .5
    # The tip of the nose turns to the person's left, right in the picture.
    large = (480, 640)
    drawn = transform.draw(paths('0', '1'), large)
    heads = ReconstructedHeads.read(folder / 'clip' / 'codes.npz')
    vertices, ndc = heads.vertices([0, 1], transform.flame)
    tip = ndc_to_pixel(ndc[:, vertices[0, :, 2].argmax(), :2].numpy(),
                       np.array(large[::-1])).round().astype(int)
    before, after = (decode_normals(drawn[i, y, x, :3])
                     for i, (x, y) in enumerate(tip))
    assert before[2] > .8 and abs(before[0]) < .1
    turn = np.arctan2(after[0], after[2]) - np.arctan2(before[0], before[2])
    np.testing.assert_allclose(turn, .6, atol=.2)


def test_the_nearest_vertex_is_where_the_camera_puts_it(transform, folder):
    heads = ReconstructedHeads.read(folder / 'clip' / 'codes.npz')
    vertices, ndc = heads.vertices([0, 4], transform.flame)
    pixels = ndc_to_pixel(ndc[..., :2].numpy(), np.array([160., 120.]))
    expected = vertices[0].numpy() * [400, -400, 0] + [80, 60, 0]
    np.testing.assert_allclose(pixels[0], expected[:, :2], atol=1e-3)
    expected = vertices[1].numpy() * [200, -200, 0] + [85, 60, 0]
    np.testing.assert_allclose(pixels[1], expected[:, :2], atol=1e-3)
    assert ndc[0, vertices[0, :, 2].argmax(), 2] == ndc[0, :, 2].min()


def test_the_larger_of_two_heads_covers_the_other(transform):
    both = transform.draw(paths('3'), SIZE)[0]
    covered = both[..., 5] == 255
    # In the overlap the larger head is seen, alone at its left.
    alone = transform.draw(paths('0'), SIZE)[0]
    shifted = np.roll(alone, -20, 1)  # 40 pixels of the frame
    inside = shifted[..., 5] == 255
    inside[:, -20:] = False
    assert inside.sum() > 500 and (covered & ~inside).any()
    np.testing.assert_array_equal(both[inside], shifted[inside])


def test_a_clip_is_rendered_in_parts(transform, monkeypatch):
    """The same pictures, also where a part ends between two heads."""
    names = paths('3', '0', '2', '1', '3')
    whole = transform.draw(names, SIZE)
    counts = []
    render = transform.renderer.render

    def counted(vertices, *args, **kwargs):
        counts.append(len(vertices))
        return render(vertices, *args, **kwargs)

    monkeypatch.setattr(transform.renderer, 'render', counted)
    for pixels, expected in ((3 * SIZE[0] * SIZE[1] + 5, [3, 3]),
                             (10, [1] * 6), (10**9, [6])):
        counts.clear()
        monkeypatch.setattr(flame_condition, '_PIXELS_AT_ONCE', pixels)
        np.testing.assert_array_equal(transform.draw(names, SIZE), whole)
        assert counts == expected


def test_codes_that_were_written_anew_are_read_anew(tmp_path, monkeypatch):
    """Even in the same size; and once only as long as they stay."""
    path = tmp_path / 'codes.npz'
    transform = AddFlameCondition(path)
    drawn = []
    for yaw, time in ((0, 1), (.6, 2)):
        write_codes(path, head_codes(
            ['0'], yaw=[yaw], center=[(80, 60)], scale=[400], valid=[1],
            size=(120, 160)))
        os.utime(path, (time, time))
        drawn += [transform.draw(paths('0'), SIZE) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[2], drawn[3])
    assert (drawn[1] != drawn[2]).any()
    monkeypatch.setattr(ReconstructedHeads, 'read', None)  # not called
    transform.draw(paths('0'), SIZE)


def test_uv_map_coordinates_by_hand():
    grid = np.array([[[-1., 1.], [1., -1.], [0., .5], [-2., -2.]]])
    image = encode_uv(grid, np.array([[True, True, True, False]]))
    assert image[0].tolist() == [[0, 0, 255], [255, 255, 255],
                                 [128, 64, 255], [0, 0, 0]]


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_channels_of_a_sample(transform, dtype):
    images = [np.full((*SIZE, 3), value, dtype) for value in (7, 9)]
    given = dict(img=images, img_path=paths('0', '2'), gt=1)
    out = transform(given)
    assert given['img'] is images and images[0].shape == (*SIZE, 3)
    assert [image.shape for image in out['img']] == [(*SIZE, 9)] * 2
    assert all(image.dtype == dtype for image in out['img'])
    assert (out['img'][0][..., :3] == 7).all() and out['gt'] == 1
    assert out['img'][0][..., 3:].any() and not out['img'][1][..., 3:].any()
    single = transform(dict(img=images[0], img_path=paths('0')[0]))
    np.testing.assert_array_equal(single['img'], out['img'][0])


def test_wrong_files_and_frames(transform, folder, tmp_path):
    with pytest.raises(ValueError, match=r"no frame '7'; its frames are 0 "):
        transform.draw(paths('7'), SIZE)
    with pytest.raises(ValueError, match="'0' is 160 x 120 pixels, but the "
                       'picture is 60 x 60'):
        transform.draw(paths('0'), (60, 60))
    with pytest.raises(FileNotFoundError, match='Codes not found: .*other'):
        transform.draw(['other/0.png'], SIZE)
    np.savez(tmp_path / 'few.npz', shape=np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"few.npz lacks \['exp', 'pose'"):
        AddFlameCondition(tmp_path / 'few.npz').draw(paths('0'), SIZE)
    (tmp_path / 'bad.npz').write_bytes(b'PK\x03\x04 no')
    with pytest.raises(ValueError, match='bad.npz is no file of codes'):
        AddFlameCondition(tmp_path / 'bad.npz').draw(paths('0'), SIZE)
    small = AddFlameCondition(folder / 'clip' / 'codes.npz', num_shape=4)
    with pytest.raises(ValueError, match="'shape' has 100 components, but"):
        small.draw(paths('0'), SIZE)
    for maps in ((), ('depth', )):
        with pytest.raises(ValueError, match="maps must be of.*'uv'"):
            AddFlameCondition('codes.npz', maps)
