# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The page of a result: what it holds, and what it does in a browser."""

import base64
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.chromium import CHROMIUM, Chromium
from helpers.toy_animation import write_toy_clip, write_toy_model
from helpers.toy_pictures import picture

from mmtvface.animation.tracks import CodeTrack, read_codes
from mmtvface.apis import FaceReconstructor
from mmtvface.export.save import save_results
from mmtvface.tracking.frame_source import open_frames
from mmtvface.viewer.result import code_curves, frame_pictures
from mmtvface.viewer.write_view import write_view

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / 'mmtvface' / 'viewer' / 'page'
NUM_FRAMES, BROKEN = 6, 3


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return write_toy_clip(tmp_path_factory.mktemp('clips') / '<b>clip',
                          NUM_FRAMES, [BROKEN])


@pytest.fixture(scope='module')
def result(clip, tmp_path_factory):
    """A result of two faces, made of one: the second has frames 4 and 5."""
    folder = tmp_path_factory.mktemp('result')
    model = write_toy_model(tmp_path_factory.mktemp('model'))
    reconstructor = FaceReconstructor(*model, 'cpu')
    save_results(reconstructor(clip), clip, folder,
                 reconstructor.build_painter(), ['codes', 'glb'])
    with np.load(folder / 'codes.npz') as file:
        arrays = dict(file)
    arrays['track_id'][4:] = 1
    arrays['frame_name'] = np.array(['1', '</script>', *'3456'])
    np.savez(folder / 'codes.npz', **arrays)
    shutil.copy(folder / 'glb' / 'track0.glb', folder / 'glb' / 'track1.glb')
    return folder


@pytest.fixture(scope='module')
def page(result):
    steps = []
    made = write_view(result, progress=lambda *step: steps.append(step))
    assert made['path'] == str(result / 'view.html')
    assert (made['frames'], made['tracks']) == (NUM_FRAMES, 2)
    assert steps[-1] == ('Encoding frames', NUM_FRAMES, NUM_FRAMES)
    text = Path(made['path']).read_text(encoding='utf-8')
    assert made['bytes'] == len(text.encode())
    return text


@pytest.fixture
def copy(result, tmp_path):
    return Path(shutil.copytree(result, tmp_path / 'copy'))


def element(page, name):
    return re.search(f'<script type="[a-z/]+" id="{name}">(.*?)</script>',
                     page, re.DOTALL).group(1)


def test_the_page_holds_pictures_heads_and_codes(page, result, clip):
    data = json.loads(element(page, 'data'))
    codes = read_codes(result / 'codes.npz')
    assert data['numFrames'] == NUM_FRAMES and data['fps'] == 25.
    assert data['names']['1'] == '</script>' and '</script>,' not in page
    assert [track['frames'] for track in data['tracks']] == [
        [0, 1, 2], [4, 5]]
    for track, rows in zip(data['tracks'], ([0, 1, 2], [4, 5]),
                           strict=True):
        camera = [g['name'] for g in data['groups']].index('camera')
        np.testing.assert_allclose(track['values'][camera],
                                   codes.codes['cam'][rows].T, atol=1e-5)
    for number, track in enumerate((0, 1)):
        assert base64.b64decode(element(page, f'head-{number}')) == (
            result / 'glb' / f'track{track}.glb').read_bytes()
    pictures = json.loads(element(page, 'pictures'))
    assert pictures[BROKEN] is None and len(pictures) == NUM_FRAMES
    found = cv2.imdecode(np.frombuffer(
        base64.b64decode(pictures[2]), np.uint8), 1)
    assert np.abs(found.astype(int) - picture(46)).mean() < 3


def test_the_page_is_alone_in_the_world(page):
    assert not re.search(r'''(?:src|href)\s*=\s*["']?(?:https?:)?//''', page)
    assert "default-src 'none'" in page
    assert '<title>&lt;b&gt;clip</title>' in page
    assert not re.search(r'\{\{\w+\}\}', page)
    assert 'Permission is hereby granted, free of charge' in page
    # nothing in three.js ends its element
    assert '</script' not in (PAGE / 'three.min.js').read_text()


def test_the_bundle_is_of_the_pinned_version():
    package = json.loads(
        (REPO / 'tools/viewer_bundle/package.json').read_text())
    version = package['dependencies']['three']
    lock = json.loads(
        (REPO / 'tools/viewer_bundle/package-lock.json').read_text())
    assert lock['packages']['node_modules/three']['version'] == version
    assert f'"{version.split(".")[1]}"' in (
        PAGE / 'three.min.js').read_text()[:400_000]


def test_curves_by_hand():
    exp = np.zeros((4, 12), np.float32)
    exp[1, 2:11] = np.arange(1, 10)
    arrays = dict(
        shape=np.zeros((4, 3)), exp=exp, cam=np.arange(12).reshape(4, 3),
        pose=np.deg2rad([[0, 0, 0, 0, 0, 0], [0, 30, 0, 20, 0, 0],
                         [10, 0, 0, 0, -5, 0], [0, 0, -40, 0, 0, 2]]),
        light=np.arange(4 * 27.).reshape(4, 9, 3),
        valid=np.array([1, 1, 1, 0], bool))
    groups = {group.name: group for group in code_curves(
        CodeTrack.from_arrays(arrays, 'toy'))}
    assert list(groups) == ['head pose', 'jaw', 'expression', 'identity',
                            'camera', 'light']
    np.testing.assert_allclose(
        groups['head pose'].values, [[0, 30, 0], [0, 0, 10], [0, 0, 0]],
        atol=1e-4)
    assert groups['jaw'].labels == ['sideways', 'open', 'roll']
    np.testing.assert_allclose(
        groups['jaw'].values, [[0, 0, -5], [0, 20, 0], [0, 0, 0]], atol=1e-4)
    # 8 of the 9 that move, the least is left out
    assert groups['expression'].labels == [
        f'exp {i}' for i in range(3, 11)]
    np.testing.assert_array_equal(groups['expression'].values[:, 1],
                                  np.arange(2, 10))
    np.testing.assert_array_equal(groups['light'].values[:, 0],
                                  [1, 4, 7, 10])


def test_pictures_are_small_and_few():
    source = open_frames([picture(x, size=(120, 160)) for x in range(7)])
    found = [cv2.imdecode(np.frombuffer(data, np.uint8), 1)
             for data in frame_pictures(source, 7, 3, 60)]
    assert [image.shape for image in found] == [(60, 80, 3)] * 3
    with pytest.raises(ValueError, match='7 frames, but .* at least 8'):
        list(frame_pictures(source, 8, 1, 60))


def test_a_page_that_would_be_too_large(copy):
    with pytest.raises(ValueError, match=r'larger than 0.8 MB.*--every'):
        write_view(copy, max_mb=.8)
    assert sorted(path.name for path in copy.iterdir()
                  if path.name != 'view.html') == [
        'codes.npz', 'glb', 'metrics.json']


@pytest.mark.parametrize('name, message', [
    ('codes.npz', r'has no codes.npz. Make it by .*--save codes glb'),
    ('glb/track1.glb', r'track1.glb is missing. Make it by'),
    ('metrics.json', r'The input of .* is not there any more. Give it by')])
def test_what_is_missing_is_named(copy, name, message):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        write_view(copy)


def test_files_that_are_damaged(copy, clip, tmp_path):
    metrics = copy / 'metrics.json'
    metrics.write_text('{"source": "/gone/video.mp4"}')
    with pytest.raises(FileNotFoundError, match='/gone/video.mp4. Give it'):
        write_view(copy)
    for text in ('{', '[]', '{}'):
        metrics.write_text(text)
        with pytest.raises(ValueError, match='metrics.json does not name'):
            write_view(copy)
    assert write_view(copy, frames=clip, every=4)['frames'] == NUM_FRAMES
    with pytest.raises(FileNotFoundError, match='folder of .* exist'):
        write_view(copy, tmp_path / 'no' / 'view.html', clip)
    head = copy / 'glb' / 'track0.glb'
    head.write_bytes(head.read_bytes()[:-4])
    with pytest.raises(ValueError, match='no complete binary glTF'):
        write_view(copy, frames=clip)
    with pytest.raises(FileNotFoundError, match='is no folder'):
        write_view(tmp_path / 'nowhere')


BACKGROUND = (36, 39, 45)


def head_pixels(browser):
    """The picture of the head, and how much of it is head."""
    image = browser.screenshot('#head').astype(int)
    return image, (np.abs(image - BACKGROUND).sum(-1) > 12).mean()


def at_frame(browser, frame):
    """Wait until a frame is shown."""
    browser.wait('document.getElementById("clock").textContent.startsWith('
                 f'"frame {frame} ")')


def text(browser, name):
    return browser.evaluate(f'document.getElementById("{name}").textContent')


def choose(browser, name, value):
    browser.evaluate(
        f'{{const e = document.getElementById("{name}"); e.value = "{value}";'
        ' e.dispatchEvent(new Event("change"))}')


def loaded(browser):
    browser.wait('!document.getElementById("head-note").textContent'
                 '.startsWith("reading")')


@pytest.mark.skipif(not CHROMIUM, reason='Chromium is not installed')
def test_the_page_in_a_browser(page, result, tmp_path):
    address = f'file://{result}/view.html'
    with Chromium(tmp_path, address + '#1') as browser:
        at_frame(browser, 1)
        loaded(browser)
        assert text(browser, 'clock') == (
            'frame 1 of 0 – 5, 0.04 s, </script>')
        textured, share = head_pixels(browser)
        assert share > .05
        # The square of the clip stands where it stood in the frame.
        frame = browser.screenshot('#video')
        rows, columns = np.nonzero(frame.min(-1) > 200)
        _, _, width, height = browser.box('#video')
        zoom = min(width / 160, height / 120)
        assert columns.min() == pytest.approx(
            (width - 160 * zoom) / 2 + 43 * zoom, abs=2)
        assert np.ptp(rows) == pytest.approx(39 * zoom, abs=4)

        # Clicks on video strip and curves, keys, the scrubber.
        browser.drag('#strip', (2.5 / NUM_FRAMES, .5))
        at_frame(browser, 2)
        assert browser.box('#strip .cursor')[0] + 1 == pytest.approx(
            browser.box('#strip')[0]
            + 2.5 / NUM_FRAMES * browser.box('#strip')[2], abs=1)
        assert head_pixels(browser)[1] > .05
        browser.drag('#curves', (.1, .5), (4.5 / NUM_FRAMES, .2))
        at_frame(browser, 4)
        assert text(browser, 'head-note') == 'no face here in this frame'
        assert text(browser, 'legend').count('–') == 3
        assert head_pixels(browser)[1] < .02  # the note alone
        browser.press('ArrowLeft')
        at_frame(browser, BROKEN)
        assert text(browser, 'video-note') == 'this frame cannot be read'
        browser.press('Home')
        at_frame(browser, 0)
        assert text(browser, 'video-note') == text(
            browser, 'head-note') == ''

        # What the head wears.
        looks = [head_pixels(browser)[0]]
        for name in ('texture', 'detail', 'wireframe'):
            browser.drag(f'#{name}', (.5, .5))
            looks.append(head_pixels(browser)[0])
            assert np.abs(looks[-1] - looks[-2]).max() > 8, name
        gray = looks[2][np.abs(looks[2] - BACKGROUND).sum(-1) > 12]
        assert np.abs(gray[:, 0] - gray[:, 2]).max() < 25 < np.ptp(gray)
        before = looks[-1]
        browser.drag('#head', (.5, .5), (.7, .5), (.8, .5))
        turned = head_pixels(browser)[0]
        assert np.abs(turned - before).max() > 30
        browser.drag('#front', (.5, .5))
        assert np.abs(head_pixels(browser)[0] - before).max() < 8

        # The other face, other curves, and a start from the last frame.
        choose(browser, 'track', 1)
        loaded(browser)
        assert text(browser, 'head-note') == 'no face here in this frame'
        choose(browser, 'group', 'expression')
        browser.press('End')
        at_frame(browser, 5)
        assert 'exp ' in text(browser, 'legend')
        assert '–' not in text(browser, 'legend')
        assert head_pixels(browser)[1] > .05
        choose(browser, 'speed', '0.25')
        browser.drag('#play', (.5, .5))
        browser.wait('!document.getElementById("clock").textContent'
                     '.startsWith("frame 5 ")')
        browser.drag('#play', (.5, .5))
        assert text(browser, 'play') == 'play'

        assert not browser.errors
        assert {url.partition(':')[0] for url in browser.requests} == {
            'file', 'blob'}


@pytest.mark.skipif(not CHROMIUM, reason='Chromium is not installed')
def test_a_browser_without_3d_still_shows_the_rest(page, result, tmp_path):
    with Chromium(tmp_path, f'file://{result}/view.html',
                  flags=('--disable-3d-apis', )) as browser:
        assert 'shows no 3D' in text(browser, 'head-note')
        browser.press('ArrowRight')
        at_frame(browser, 1)
        assert text(browser, 'legend').startswith('yaw')
        assert not browser.errors
