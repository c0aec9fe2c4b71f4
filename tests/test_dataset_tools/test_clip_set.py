# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import itertools
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from helpers.fake_datasets import face_points

from mmtvface.dataset_tools.assemble import assemble_set
from mmtvface.dataset_tools.clip_maker import SPLITS, open_state
from mmtvface.dataset_tools.clip_maker.clip_writer import write_json
from mmtvface.dataset_tools.make_set import locked, read_states
from mmtvface.dataset_tools.report import report_text, write_report
from mmtvface.dataset_tools.settings import SetOptions
from mmtvface.datasets import FaceClipDataset

SIDE, QUALITY = 64, dict(size=80., sharpness=.02, confidence=.9, yaw=3.,
                         pitch=0., roll=0.)
EVEN = dict(train=2, val=1, test=1)


def add_clip(state, first, track, frames, look, gray):
    """A finished clip; ``look`` decides how the face moves."""
    name = f'{state.key}_{first:06d}_{track:03d}'
    folder = state.piece / name
    rng = np.random.default_rng(look)
    names = [f'{i + 1:06d}' for i in range(frames)]
    for part in ('jpg', 'kpt'):
        (folder / part).mkdir(parents=True)
    for frame in names:
        cv2.imwrite(str(folder / 'jpg' / f'{frame}.jpg'),
                    np.full((SIDE, SIDE, 3), gray, np.uint8))
        points = face_points((32, 28), 14) + rng.normal(0, 1.5, (68, 2))
        np.save(folder / 'kpt' / f'{frame}_kpt2d.npy',
                points.astype(np.float32))
    np.save(folder / 'serial.npy', np.array([f'{n}.jpg' for n in names]))
    write_json(folder / 'meta.json', dict(id=name, frames=dict(hash=[
        f'{value:016x}' for value in rng.integers(
            0, 1 << 63, frames, dtype=np.uint64)])))
    state.clips.append(dict(id=name, track=track, first_frame=first,
                              num_frames=frames, fps=25., quality=QUALITY))


def add_video(out, name, clips, folder='season'):
    """A finished video; clips: (track, frames, look, grey level) each."""
    key = f'{name}-0000000{len(name)}'
    state = open_state(out / '.work' / key, key, dict(
        name=f'{name}.mp4', folder=folder, bytes=1), 'x')
    for number, (track, frames, look, gray) in enumerate(clips):
        add_clip(state, 100 * number, track, frames, look, gray)
    state.finished, state.frames, state.fps = True, 200, 25.
    state.faces = 180
    state.commit()
    return state


def add_videos(out, names, frames=6):
    for name in names:
        add_video(out, name, [(0, frames, ord(name), 100),
                              (1, frames, 1000 + ord(name), 100)])


def assemble(out, **options):
    return assemble_set(out, read_states(out / '.work'), {},
                        SetOptions(**{'ratios': EVEN, **options}))


def split_of(made):
    return {clip['id'].split('-')[0]: clip['split']
            for clip in made.manifest['clips']}


def on_disk(out):
    """Relative paths of all clips in splits, with their files."""
    return sorted(str(path.relative_to(out)) for split in SPLITS
                  for path in (out / split).rglob('*') if path.is_file())


def greys(faces):
    """Embeds faces by their lightness: one person per 50 levels."""
    levels = (faces.mean((1, 2, 3)) * 255 / 50).long()
    return torch.nn.functional.one_hot(levels, 6).float()


def test_a_set_is_divided_and_read(tmp_path):
    add_videos(tmp_path, 'abcdefgh')
    made = assemble(tmp_path)
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest == json.loads(json.dumps(made.manifest))
    # 8 equal videos of 12 frames are divided exactly.
    assert [manifest['splits'][name] for name in SPLITS] == [
        dict(clips=2 * count, frames=12 * count, identities=2 * count,
             videos=count) for count in (4, 2, 2)]
    for clip in manifest['clips']:
        assert (tmp_path / clip['path'] / 'meta.json').is_file()
        assert clip['path'] == f'{clip["split"]}/{clip["id"]}'
    parts = {}
    for clip in manifest['clips']:
        parts.setdefault(clip['video'], set()).add(clip['split'])
    assert all(len(splits) == 1 for splits in parts.values())
    assert not list((tmp_path / '.work').glob('*/clips/*'))
    train = FaceClipDataset(data_root=str(tmp_path), split='train',
                            clip_length=6, image_size=32)
    assert len(train) == 8
    assert {train.get_data_info(i)['clip_id'] for i in range(8)} == {
        clip['id'] for clip in manifest['clips'] if clip['split'] == 'train'}
    assert train[0]['inputs'].shape[0] == 6


def test_people_are_recognised_over_videos(tmp_path):
    # Ann (grey 60) is in a and c, Bob (120) in c and e: they stay together.
    add_video(tmp_path, 'a', [(0, 6, 1, 60)])
    add_video(tmp_path, 'b', [(0, 6, 2, 180)])
    add_video(tmp_path, 'c', [(0, 6, 3, 60), (1, 6, 4, 120)])
    add_video(tmp_path, 'd', [(0, 6, 5, 220)])
    add_video(tmp_path, 'e', [(0, 6, 6, 120)])
    calls = []

    def embedder(faces):
        calls.append(len(faces))
        return greys(faces)

    made = assemble(tmp_path, embedder=embedder)
    people = {clip['id'].replace('-00000001', ''): clip['identity']
              for clip in made.manifest['clips']}
    assert people['a_000000_000'] == people['c_000000_000'] == (
        'a-00000001_t000')
    assert people['c_000100_001'] == people['e_000000_000']
    assert len(set(people.values())) == 4
    splits = split_of(made)
    assert splits['a'] == splits['c'] == splits['e'] == 'train'
    assert {splits['b'], splits['d']} == {'val', 'test'}
    assert len(calls) == 6 and min(calls) > 2
    # What was seen once is remembered, unless the file is damaged.
    assert assemble(tmp_path, embedder=embedder).manifest == made.manifest
    assert len(calls) == 6
    (tmp_path / '.work/e-00000001/identity.npz').write_bytes(b'damaged')
    assert assemble(tmp_path, embedder=embedder).manifest == made.manifest
    assert len(calls) == 7


def test_named_people(tmp_path):
    add_video(tmp_path, 'a', [(0, 6, 1, 60), (0, 6, 7, 60), (1, 6, 2, 120)])
    add_video(tmp_path, 'b', [(0, 6, 3, 60)])
    add_video(tmp_path, 'c', [(0, 6, 4, 180)])
    names = tmp_path / 'names.json'
    names.write_text(json.dumps({'a-00000001_t000': 'Ann',
                                 'c-00000001_000000_000': 'Cid'}))
    made = assemble(tmp_path, identities=str(names))
    assert [clip['identity'] for clip in made.manifest['clips']] == [
        'Ann', 'Ann', 'a-00000001_t001', 'b-00000001_t000', 'Cid']
    # Whoever looks like Ann is Ann, and stays with her.
    made = assemble(tmp_path, identities=str(names), embedder=greys)
    assert [clip['identity'] for clip in made.manifest['clips']] == [
        'Ann', 'Ann', 'a-00000001_t001', 'Ann', 'Cid']
    splits = split_of(made)
    assert splits['a'] == splits['b'] != splits['c']


@pytest.mark.parametrize('text, message', [
    ('{"a": 1}', 'names.json must be JSON.*not an object of texts'),
    ('["a"]', 'not an object of texts'), ('{', 'names.json must be JSON')])
def test_wrong_files_of_people(tmp_path, text, message):
    add_videos(tmp_path, 'a')
    (tmp_path / 'names.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        assemble(tmp_path, identities=str(tmp_path / 'names.json'))
    with pytest.raises(FileNotFoundError, match='no file of identities'):
        assemble(tmp_path, identities=str(tmp_path / 'gone.json'))


def test_series_stay_together(tmp_path):
    for name, folder in zip('abcdef', ('x', 'x', 'x', 'y', 'z', 'y'),
                            strict=True):
        add_video(tmp_path, name, [(0, 6, ord(name), 100)], folder)
    splits = split_of(assemble(tmp_path, group_by='folder'))
    assert splits['a'] == splits['b'] == splits['c'] == 'train'
    assert splits['d'] == splits['f'] != splits['e']


def test_the_same_pictures_are_kept_once(tmp_path):
    add_video(tmp_path, 'm', [(0, 8, 5, 100)])
    first = assemble(tmp_path)
    # A later video has them too, and comes before by name.
    add_video(tmp_path, 'a', [(0, 8, 5, 100), (1, 8, 6, 100)])
    made = assemble(tmp_path)
    assert made.duplicates == made.manifest['duplicates'] == {
        'a-00000001_000000_000': 'm-00000001_000000_000'}
    assert [clip['id'] for clip in made.manifest['clips']] == [
        'a-00000001_000100_001', 'm-00000001_000000_000']
    assert split_of(made)['m'] == split_of(first)['m']
    assert 'a-00000001_000000_000' not in str(on_disk(tmp_path))
    text = report_text(made, read_states(tmp_path / '.work'), {}, {})
    assert '1  shows the same as another clip' in text
    assert 'all its clips' not in text
    assert assemble(tmp_path).manifest == made.manifest
    add_video(tmp_path, 'z', [(0, 8, 6, 100)])
    made = assemble(tmp_path)
    assert 'z-00000001: all its clips are duplicates or removed\n' in (
        report_text(made, read_states(tmp_path / '.work'), {}, {}))


def test_removed_clips_are_reported(tmp_path):
    add_videos(tmp_path, 'abcd')
    made = assemble(tmp_path)
    gone = made.manifest['clips'][2]
    shutil.rmtree(tmp_path / gone['path'])
    again = assemble(tmp_path)
    assert again.lost == [gone['id']]
    assert again.manifest['clips'] == [
        clip for clip in made.manifest['clips'] if clip != gone]
    text = report_text(again, read_states(tmp_path / '.work'), {}, {})
    assert '1  removed from the folder by somebody' in text


@pytest.mark.parametrize('moves', [0, 1, 3, 7, 8])
@pytest.mark.parametrize('after', [False, True])
def test_an_interruption_changes_nothing(tmp_path, monkeypatch, moves,
                                         after):
    whole, out = tmp_path / 'whole', tmp_path / 'out'
    for place in (whole, out):
        add_videos(place, 'abcd', 3)
    expected = assemble(whole)
    replace, count = os.replace, itertools.count()

    def interrupted(source, target):
        if next(count) == moves:
            if after:
                replace(source, target)
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', interrupted)
        with pytest.raises(KeyboardInterrupt):
            assemble(out)
    # Eight clips, then the manifest.
    assert (out / 'manifest.json').exists() == (moves == 8 and after)
    assert assemble(out).manifest == expected.manifest
    assert on_disk(out) == on_disk(whole)


def test_a_duplicate_that_an_interrupted_run_has_moved(tmp_path):
    add_video(tmp_path, 'm', [(0, 8, 5, 100)])
    assemble(tmp_path)
    (tmp_path / 'manifest.json').unlink()  # as if it was not yet written
    add_video(tmp_path, 'a', [(0, 8, 5, 100)])
    made = assemble(tmp_path)
    assert list(made.duplicates) == ['m-00000001_000000_000']
    assert {path.split('/')[1] for path in on_disk(tmp_path)} == {
        'a-00000001_000000_000'}
    assert (tmp_path / '.work/m-00000001/clips/m-00000001_000000_000'
            ).is_dir()


def test_a_growing_set_keeps_its_division(tmp_path):
    add_videos(tmp_path, 'efgh')
    before = split_of(assemble(tmp_path))
    add_videos(tmp_path, 'abcdijkl')
    made = assemble(tmp_path, seed=3)
    after = split_of(made)
    assert {name: after[name] for name in 'efgh'} == before
    assert [made.manifest['splits'][name]['videos'] for name in SPLITS] == [
        6, 3, 3]


def test_a_new_video_may_join_what_was_apart(tmp_path):
    add_video(tmp_path, 'a', [(0, 12, 1, 60)])
    add_video(tmp_path, 'b', [(0, 6, 2, 120)])
    splits = split_of(assemble(tmp_path, embedder=greys))
    assert splits == dict(a='train', b='val')
    add_video(tmp_path, 'c', [(0, 6, 3, 60), (1, 6, 4, 120)])
    made = assemble(tmp_path, embedder=greys)
    assert split_of(made) == dict(a='train', b='train', c='train')
    assert not list((tmp_path / 'val').iterdir())
    assert {path.split('/')[0] for path in on_disk(tmp_path)} == {'train'}


def test_a_damaged_manifest_is_explained(tmp_path):
    add_videos(tmp_path, 'abcd')
    made = assemble(tmp_path)
    path = tmp_path / 'manifest.json'
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r'manifest\.json.*remove it.*anew'):
        assemble(tmp_path)
    path.unlink()
    assert assemble(tmp_path).manifest == made.manifest


@pytest.mark.parametrize('damage, message', [
    (lambda clip: (clip / 'meta.json').unlink(), r'meta\.json is damaged'),
    (lambda clip: (clip / 'meta.json').write_text('{"fra'),
     r'meta\.json is damaged'),
    (lambda clip: (clip / 'meta.json').write_text('{"frames": 3}'),
     r'meta\.json is damaged'),
])
def test_a_damaged_clip_is_explained_and_made_anew(tmp_path, damage,
                                                   message):
    add_videos(tmp_path, 'abcd')
    made = assemble(tmp_path)
    damage(tmp_path / made.manifest['clips'][4]['path'])
    with pytest.raises(ValueError, match=message) as caught:
        assemble(tmp_path)
    work = tmp_path / '.work/c-00000001'
    assert f'work folder {work} and run again' in str(caught.value)
    # The remedy: the folder is deleted, and the video processed again.
    shutil.rmtree(work)
    add_videos(tmp_path, 'c')
    assert assemble(tmp_path).manifest == made.manifest
    assert not list((tmp_path / '.work').glob('*/replaced'))
    meta = tmp_path / made.manifest['clips'][4]['path'] / 'meta.json'
    assert len(json.loads(meta.read_text())['frames']['hash']) == 6


def test_missing_images_are_explained(tmp_path):
    add_videos(tmp_path, 'ab')
    made = assemble(tmp_path)
    clip = tmp_path / made.manifest['clips'][0]['path']
    (clip / 'jpg/000003.jpg').unlink()
    with pytest.raises(ValueError, match='has 5 images with landmarks, but 6 '
                                         'frames. Remove the folder') as err:
        write_report(assemble(tmp_path), '')
    assert str(clip) in str(err.value)


def test_a_damaged_state_is_explained(tmp_path):
    add_videos(tmp_path, 'ab')
    path = tmp_path / '.work/a-00000001/progress.json'
    for text in ('{"key": "a-', '[]', '{"key": "a"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'progress\.json is no progress.*'
                                             'Delete the folder .*a-0000000'):
            assemble(tmp_path)


def test_two_runs_do_not_meet(tmp_path):
    with locked(tmp_path):
        with pytest.raises(ValueError, match='Another process is working'), \
                locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_report(tmp_path):
    add_videos(tmp_path, 'abcd')
    bad = open_state(tmp_path / '.work/bad', 'bad', dict(
        name='bad.mp4', folder='season', bytes=1), 'x')
    bad.finished, bad.problem = True, 'no <video> & no header'
    bad.commit()
    faceless = open_state(tmp_path / '.work/sea', 'sea', dict(
        name='sea.mp4', folder='season', bytes=1), 'x')
    faceless.finished, faceless.frames = True, 50
    faceless.lost_frames['no face'] = 50
    faceless.commit()
    made = assemble(tmp_path)
    text = report_text(made, read_states(tmp_path / '.work'),
                       {'/videos/empty.mp4': 'the file is empty'},
                       {'late': 'the worker process was killed'})
    assert '8 clips with 48 frames kept' in text
    assert '  bad: no <video> & no header\n' in text
    assert '        50      0     0%  sea: no face\n' in text
    assert '       200      2     7%  a-00000001\n' in text  # 12 of 180
    assert '/videos/empty.mp4: skipped, the file is empty' in text
    assert 'late: failed, will be tried again: the worker' in text
    files = write_report(made, text)
    assert [path.name for path in files] == [
        'report.txt', 'report.html', 'contact_sheet.png']
    assert files[0].read_text() == text
    page = files[1].read_text()
    assert 'no &lt;video&gt; &amp; no header' in page
    assert page.count('src="data:image/jpeg;base64,') == 8
    # Nothing is loaded from elsewhere.
    assert page.count('src=') == 8
    assert not re.search(r'https?:|href|url\(|@import|<script', page)
    for clip in made.manifest['clips']:
        assert clip['id'] in page
    assert page.index('<h2>train') < page.index('<h2>val') < page.index(
        '<h2>test')
    assert page.count('face 80 pixels, yaw +3°') == 8
    sheet = cv2.imread(str(files[2]))
    assert sheet.shape[1] > 300 and sheet.std() > 20


def test_a_set_without_clips(tmp_path):
    (tmp_path / '.work').mkdir()
    made = assemble(tmp_path)
    assert made.manifest['clips'] == []
    files = write_report(made, report_text(made, [], {}, {}))
    assert [path.name for path in files] == ['report.txt', 'report.html']
