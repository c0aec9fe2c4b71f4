# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys
import warnings

import cv2
import numpy as np
import pytest
import torch
from helpers.fake_face_alignment import install
from helpers.toy_pictures import POINTS, picture

from mmtvface.tracking.detectors import build_backend
from mmtvface.tracking.face_tracker import FaceTracker

S3FD, FAN = 's3fd-619a316812.pth', '2DFAN4-cd938726ad.zip'


@pytest.fixture
def made(monkeypatch):
    return install(monkeypatch)


@pytest.fixture
def weights(tmp_path):
    torch.save({'conv.weight': torch.zeros(2)}, tmp_path / S3FD)
    (tmp_path / FAN).write_bytes(b'script')
    return tmp_path


def test_networks_read_the_local_files(made, weights, monkeypatch):
    build_backend('face-alignment', weights=weights, device='cuda:1')
    build_backend('face-alignment', weights=str(weights), device='cpu')
    assert made == [
        ('2d', device, 'sfd', str(weights / S3FD), str(weights / FAN))
        for device in ('cuda:1', 'cpu')]
    # The package is as it was before.
    with pytest.raises(AssertionError, match='would be downloaded'):
        sys.modules['face_alignment.api'].load_file_from_url('x')


def test_the_hub_folder_is_the_default(made, weights, monkeypatch):
    (weights / 'checkpoints').mkdir()
    for name in (S3FD, FAN):
        (weights / name).rename(weights / 'checkpoints' / name)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(weights))
    build_backend('face-alignment', device='cpu')
    assert made[0][3] == str(weights / 'checkpoints' / S3FD)


@pytest.mark.parametrize('name', [S3FD, FAN])
def test_missing_weights_are_named(made, weights, name):
    (weights / name).unlink()
    left = FAN if name == S3FD else S3FD
    with pytest.raises(FileNotFoundError,
                       match=f'{S3FD} and {FAN}.*holds {left}.*nothing is '
                       'downloaded'):
        build_backend('face-alignment', weights=weights)
    with pytest.raises(FileNotFoundError, match='nowhere.*empty or absent'):
        build_backend('face-alignment', weights=weights / 'nowhere')
    assert made == []


def test_damaged_weights_are_refused(made, weights):
    (weights / S3FD).write_bytes(b'<html>')
    with pytest.raises(ValueError, match='web page'):
        build_backend('face-alignment', weights=weights)


def test_boxes_reach_from_brows_to_chin(made, weights):
    backend = build_backend('face-alignment', weights=weights, device='cpu')
    face, = backend.detect(picture(x=40, y=30, side=40))
    np.testing.assert_allclose(face.box, [40, 30, 79, 69], atol=0.01)
    assert face.score == pytest.approx(0.75) and face.keypoints is None
    # 640 columns are searched at a quarter of the size.
    small = build_backend('face-alignment', weights=weights, device='cpu',
                          search_side=160)
    large = cv2.resize(picture(), (640, 480), interpolation=cv2.INTER_NEAREST)
    face, = small.detect(large)
    np.testing.assert_allclose(face.box, [161.5, 121.5, 317.5, 277.5],
                               atol=0.1)
    assert small.detect(picture(side=0)) == []


def test_landmarks_and_their_confidence(made, weights):
    backend = build_backend('face-alignment', weights=weights, device='cpu')
    follower = backend.follower()
    image = picture(x=40, y=30, side=40)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        face = follower.follow(image, np.array([45., 32., 80., 66.]))
    np.testing.assert_allclose(face.points, POINTS * 39 + [40, 30], atol=1e-4)
    assert face.confidence == pytest.approx(1.) and face.mesh is None
    # Dark: the heat maps are low. Beside the image, or nothing: no face.
    for box in ([5., 90., 15., 110.], [200., 0., 240., 40.],
                [50., 50., 50., 50.]):
        assert follower.follow(image, np.array(box)) is None


def test_a_square_is_tracked(made, weights):
    backend = build_backend('face-alignment', weights=weights, device='cpu')
    tracker = FaceTracker(backend)
    ids = [[face.track_id for face in tracker.update(picture(x=20 + 4 * i))]
           for i in range(8)]
    assert ids == [[0]] * 8
    backend.close()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, 'face_alignment', None)
    with pytest.raises(ImportError, match='pip install face-alignment'):
        build_backend('face-alignment', weights=weights)
