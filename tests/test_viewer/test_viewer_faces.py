# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The page of a result whose frames have several faces."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import CHROMIUM, Chromium
from helpers.toy_animation import write_toy_clip, write_toy_model

from mmtvface.apis import FaceReconstructor
from mmtvface.export.save import save_results
from mmtvface.viewer.write_view import write_view

BACKGROUND = (36, 39, 45)
TIMES = np.array([0, .2, .24, .9, 1., 1.1])


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    """Face 0 in all of 6 frames, face 4 to the left of it in 2, 3 and 4."""
    folder = tmp_path_factory.mktemp('faces')
    clip = write_toy_clip(folder / 'clip', len(TIMES))
    reconstructor = FaceReconstructor(*write_toy_model(folder / 'model'),
                                      'cpu')
    out = folder / 'out'
    save_results(reconstructor(clip), clip, out,
                 reconstructor.build_painter(), ['codes', 'glb'])
    with np.load(out / 'codes.npz') as file:
        arrays = dict(file)
    rows = np.array([0, 1, 2, 2, 3, 3, 4, 4, 5])
    second = np.array([0, 0, 0, 1, 0, 1, 0, 1, 0], bool)
    fps = arrays.pop('fps')
    arrays = {name: array[rows].copy() for name, array in arrays.items()}
    arrays['track_id'][second] = 4
    arrays['camera'][second, 0, 3] -= 30
    np.savez(out / 'codes.npz', **arrays | dict(fps=fps, time=TIMES[rows]))
    shutil.copy(out / 'glb' / 'track0.glb', out / 'glb' / 'track4.glb')
    made = write_view(out)
    assert (made['frames'], made['tracks']) == (6, 2)
    return out


def test_faces_and_times_are_in_the_page(result):
    page = (result / 'view.html').read_text(encoding='utf-8')
    data = json.loads(re.search('id="data">(.*?)</script>', page,
                                re.DOTALL).group(1))
    assert data['together'] is True and data['times'] == TIMES.tolist()
    assert [track['id'] for track in data['tracks']] == [0, 4]
    assert [track['frames'] for track in data['tracks']] == [
        [0, 1, 2, 3, 4, 5], [2, 3, 4]]
    right, left = (track['x'] for track in data['tracks'])
    np.testing.assert_allclose(right[2:5], np.array(left) + 30, atol=1)
    assert list(data['names']) == [str(i) for i in range(6)]


def pixels(browser):
    """Share of head pixels in the left and in the right half."""
    image = browser.screenshot('#head').astype(int)[40:-30]
    there = np.abs(image - BACKGROUND).sum(-1) > 12
    middle = there.shape[1] // 2
    return there[:, :middle].mean(), there[:, middle:].mean()


def names(browser):
    return browser.evaluate('[...document.querySelectorAll("#names button")]'
                            '.map(e => e.textContent).join()')


def text(browser, name):
    return browser.evaluate(f'document.getElementById("{name}").textContent')


def go(browser, frame):
    browser.evaluate(f'location.hash = "{frame}"')
    browser.wait('document.getElementById("clock").textContent.startsWith('
                 f'"frame {frame} ")')
    browser.wait('!document.getElementById("head-note").textContent'
                 '.startsWith("reading")')


@pytest.mark.skipif(not CHROMIUM, reason='Chromium is not installed')
def test_two_heads_side_by_side(result, tmp_path):
    with Chromium(tmp_path, f'file://{Path(result)}/view.html#0') as browser:
        go(browser, 0)
        assert names(browser) == 'face 0'
        alone = pixels(browser)
        assert min(alone) > .1
        go(browser, 2)
        assert text(browser, 'clock').startswith('frame 2 of 0 – 5, 0.24 s')
        assert names(browser) == 'face 4,face 0'  # as in the picture
        both = pixels(browser)
        assert min(both) > .1 and both[0] == pytest.approx(both[1], rel=.1)
        image = browser.screenshot('#head').astype(int)[60:-30]
        gap = image[:, image.shape[1] // 2 - 2:image.shape[1] // 2 + 2]
        assert np.abs(gap - BACKGROUND).max() < 12  # nobody is cut off

        # They turn alike; a name chooses whose curves are shown.
        browser.drag('#head', (.25, .5), (.35, .5), (.4, .5))
        turned = browser.screenshot('#head').astype(int)[60:-30]
        change = np.abs(turned - image).max(-1) > 30
        half = change.shape[1] // 2
        assert min(change[:, :half].mean(), change[:, half:].mean()) > .02
        browser.drag('#front', (.5, .5))
        assert browser.evaluate('document.querySelector("#names .chosen")'
                                '.textContent') == 'face 0'
        assert '–' not in text(browser, 'legend')
        browser.evaluate('document.querySelector("#names button").click()')
        browser.wait('document.querySelector("#names .chosen").textContent'
                     ' === "face 4"')
        go(browser, 5)
        assert text(browser, 'legend').count('–') == 3
        assert names(browser) == 'face 0' and min(pixels(browser)) > .1

        # One face at a time, as it was chosen.
        browser.drag('#together', (.5, .5))
        assert names(browser) == ''
        assert text(browser, 'head-note') == 'no face here in this frame'
        go(browser, 3)
        assert text(browser, 'head-note') == ''
        assert min(pixels(browser)) > .1
        assert not browser.errors


@pytest.mark.skipif(not CHROMIUM, reason='Chromium is not installed')
def test_playing_follows_the_times(result, tmp_path):
    """Frame 2 stands for 0.66 s, the others for less."""
    with Chromium(tmp_path, f'file://{Path(result)}/view.html#0') as browser:
        go(browser, 3)
        go(browser, 0)
        browser.evaluate('''{
          window.seen = [];
          const clock = document.getElementById("clock");
          new MutationObserver(() => seen.push(
            [Number(clock.textContent.split(" ")[1]), performance.now()])
          ).observe(clock, {childList: true, characterData: true,
                            subtree: true});
          document.getElementById("play").click();
        }''')
        browser.wait('seen.some(([frame]) => frame === 4)')
        browser.evaluate('document.getElementById("play").click()')
        seen = dict(browser.evaluate('seen'))
        # A slow machine leaves out some; evenly it would be .04 s.
        stood = (seen[3] - seen.get(2, seen.get(1))) / 1000
        assert .5 < stood < 1.5
        assert not browser.errors
