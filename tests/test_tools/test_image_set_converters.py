# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.fake_datasets import face_points, write_clip_set, write_face

from mmtvface.dataset_tools.face_annotation import (
    annotate_folder,
    choose_face,
    find_images,
)
from mmtvface.datasets import (
    FaceClipDataset,
    IdentityClipDataset,
    VoxCeleb2Dataset,
)
from mmtvface.io.video_writer import write_video
from mmtvface.tracking import detectors
from mmtvface.tracking.detectors import FaceDetection, FaceLandmarks

sys.path.insert(0, str(
    Path(__file__).resolve().parents[2] / 'tools/dataset_converters'))
annotate_faces = importlib.import_module('annotate_faces')
pack_clips = importlib.import_module('pack_clips')
voxceleb2_to_frames = importlib.import_module('voxceleb2_to_frames')


class Detector:
    """Finds a face in images that are brighter than 50."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return [face_points((60, 45))] if image.mean() > 50 else []


def test_choice_of_the_face():
    large = face_points((200, 40), 30)
    middle, small = face_points((60, 45), 20), face_points((60, 45), 10)
    assert choose_face([large, middle, small], (90, 120)) is middle
    assert choose_face([large, small + 100], (90, 120)) is large
    assert choose_face([], (90, 120)) is None


def test_annotation_goes_on_where_it_was(tmp_path):
    folder = tmp_path / 'train/n01'
    for index, value in enumerate((100, 20, 200, 210)):
        write_face(folder / f'{index}.jpg', value=value)
    (folder / '3.jpg').write_bytes(b'broken')
    [(found, names)] = find_images(tmp_path)
    assert found == folder and names == ['0.jpg', '1.jpg', '2.jpg', '3.jpg']
    detector = Detector()
    assert annotate_folder(folder, names[:1], detector) == dict(
        done=1, kept=0, no_face=0, unreadable=0)
    (folder / '2.npy').write_bytes((folder / '0.npy').read_bytes())
    assert annotate_folder(folder, names, detector) == dict(
        done=1, kept=1, no_face=1, unreadable=1)
    assert detector.calls == 2  # landmarks of 2.jpg were there
    assert annotate_folder(folder, names, detector) == dict(
        done=0, kept=2, no_face=1, unreadable=1)
    assert detector.calls == 2
    assert [names for _, names in find_images(tmp_path)] == [names]
    np.testing.assert_allclose(np.load(folder / '0.npy'), face_points())
    mask = cv2.imread(str(folder / '0_mask.png'), 0)
    assert set(np.unique(mask)) == {0, 255} and mask[50, 60] == 255
    # The data set reads what was written.
    dataset = IdentityClipDataset(str(tmp_path / 'train'), clip_length=2,
                                  image_size=32)
    sample = dataset[0]['data_samples']
    assert set(sample.frame_names) == {'0', '2'}
    assert 0 < sample.gt_masks.mean() < 1


def test_annotate_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(annotate_faces, '_detector', None)
    monkeypatch.setattr(annotate_faces, 'make_detector',
                        lambda name, weights: Detector())
    write_face(tmp_path / 'set/a/0.jpg', value=100)
    assert annotate_faces.main([str(tmp_path / 'set'), '--no-masks']) == 0
    assert '1 images done, 0 kept' in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / 'set/a').iterdir()) == [
        '0.jpg', '0.npy']
    assert annotate_faces.main([str(tmp_path / 'none')]) == 2
    assert 'no images in' in capsys.readouterr().out


class TwoFaces:
    """Finds two faces, whose landmarks are known for one."""

    def detect(self, image, thorough=True):
        return [FaceDetection(np.array([x, 10., x + 40, 50]), 1.)
                for x in (10., 70.)]

    def follower(self):
        return self

    def follow(self, image, box, keypoints=None):
        return FaceLandmarks(face_points((10, 10))) if box[0] < 70 else None

    def reset(self):
        pass

    def close(self):
        pass


def test_weights_are_local(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        detectors, 'build_detector', lambda name, weights: (
            asked.append((name, weights)), TwoFaces())[1])
    detector = annotate_faces.make_detector('face-alignment', 'some/folder')
    assert asked == [('face-alignment', 'some/folder')]
    [points] = detector(np.zeros((90, 120, 3), np.uint8))
    np.testing.assert_array_equal(points, face_points((10, 10)))

    def missing(name, weights):
        raise FileNotFoundError(f'no weights in {weights}')

    monkeypatch.setattr(annotate_faces, '_detector', None)
    monkeypatch.setattr(detectors, 'build_detector', missing)
    write_face(tmp_path / 'a/0.jpg')
    assert annotate_faces.main([
        str(tmp_path), '--detector', 'face-alignment', '--weights', 'x']) == 2
    assert 'no weights in x' in capsys.readouterr().out


def test_broken_landmarks_are_kept_and_counted(tmp_path):
    for name in ('0', '1', '2'):
        write_face(tmp_path / f'{name}.jpg')
    (tmp_path / '0.npy').write_bytes(b'')
    np.save(tmp_path / '1.npy', np.zeros((5, 2)))
    assert annotate_folder(tmp_path, ['0.jpg', '1.jpg', '2.jpg'],
                           Detector()) == dict(
        done=1, kept=0, no_face=0, unreadable=2)
    assert np.load(tmp_path / '1.npy').shape == (5, 2)


@pytest.fixture
def videos(tmp_path):
    root = tmp_path / 'vox2/dev/mp4'
    for name, frames in (('id00012/21Uxsk56VDQ/00001', 6),
                         ('id00061/cAT9aR8oFx0/00141', 4)):
        path = root / f'{name}.mp4'
        path.parent.mkdir(parents=True)
        write_video(path, [np.full((64, 64, 3), 20 * i, np.uint8)
                           for i in range(1, frames + 1)])
    return root


def test_voxceleb2_frames(videos, tmp_path, capsys):
    out = tmp_path / 'dev'
    (videos / 'id00061/cAT9aR8oFx0/00142.mp4').write_bytes(b'no video')
    command = [str(videos), '--out', str(out), '--every', '2']
    assert voxceleb2_to_frames.main(command) == 0
    said = capsys.readouterr().out
    assert '2 utterances done, 0 kept from before, 1 unusable' in said
    assert '00142.mp4' in said
    folder = out / 'id00012/21Uxsk56VDQ/00001'
    names = sorted(path.name for path in folder.iterdir())
    assert names == ['0001.jpg', '0003.jpg', '0005.jpg']
    assert [round(cv2.imread(str(folder / name)).mean() / 20)
            for name in names] == [1, 3, 5]
    assert not list(out.rglob('*.part'))
    assert voxceleb2_to_frames.main([*command, '--max-frames', '1']) == 0
    assert '0 utterances done, 2 kept' in capsys.readouterr().out
    for path in list(out.rglob('*.jpg')):
        np.save(path.with_suffix('.npy'), face_points((32, 32), 12))
    dataset = VoxCeleb2Dataset(str(out), clip_length=3, image_size=16,
                               short_clips='skip')
    assert [dataset.get_data_info(i)['image_names']
            for i in range(len(dataset))] == [names]


def test_voxceleb2_without_a_good_frame(videos, tmp_path, monkeypatch):
    video = next(videos.rglob('*.mp4'))
    monkeypatch.setattr(
        'mmtvface.io.video_reader.decode_video', lambda path: iter(
            [SimpleNamespace(index=0, damaged=True)]))
    assert voxceleb2_to_frames.unpack(video, tmp_path / 'x') == (
        'no frame is undamaged')
    assert [path.name for path in tmp_path.iterdir()] == ['vox2']


def test_voxceleb2_errors(videos, tmp_path, capsys):
    assert voxceleb2_to_frames.main(
        [str(tmp_path / 'vox2'), '--out', str(tmp_path / 'x')]) == 2
    said = capsys.readouterr().out
    assert 'looked for' in said and "vox2/dev/mp4'?" in said
    assert voxceleb2_to_frames.main(
        [str(videos), '--out', str(tmp_path / 'x'), '--every', '0']) == 2


def test_pack_command(tmp_path, capsys):
    root = write_clip_set(tmp_path / 'set', {
        'train': [('a', 'ann', 3)], 'val': [('b', 'bob', 2)]})
    out = tmp_path / 'packed'
    assert pack_clips.main([str(root), '--out', str(out)]) == 0
    assert 'train.lmdb: 0.' in capsys.readouterr().out
    dataset = FaceClipDataset(str(out / 'train.lmdb'), clip_length=3,
                              image_size=16)
    assert dataset[0]['data_samples'].identity == 'ann'
    assert json.loads((root / 'manifest.json').read_text())['version'] == 1
    assert pack_clips.main([str(root), '--splits', 'test']) == 2
    assert "no clip of the split 'test'" in capsys.readouterr().out
