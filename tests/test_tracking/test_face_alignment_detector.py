# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys
import warnings

import numpy as np
import pytest
import torch
from helpers.fake_face_alignment import install
from helpers.toy_pictures import POINTS, picture

from mmtvface.tracking.face_alignment_detector import (
    FaceAlignmentLandmarkDetector,
)


@pytest.fixture
def made(monkeypatch):
    """Arguments of the networks that were made."""
    return install(monkeypatch)


def test_faces_become_arrays(made):
    detector = FaceAlignmentLandmarkDetector()
    image = picture(x=20)
    image[80:100, 130:150] = 255
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        faces = detector(image)
        assert detector(picture(side=0)) == []
    assert [(face.shape, face.dtype) for face in faces] == [
        ((68, 2), np.float64)] * 2
    np.testing.assert_allclose(faces[0], POINTS * 39 + [20, 30], atol=1e-4)


def test_options_reach_the_package(made, monkeypatch):
    FaceAlignmentLandmarkDetector(torch.device('cuda', 1), 'blazeface')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    FaceAlignmentLandmarkDetector()
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    FaceAlignmentLandmarkDetector()
    assert made == [('2d', 'cuda:1', 'blazeface'), ('2d', 'cpu', 'sfd'),
                    ('2d', 'cuda', 'sfd')]


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'face_alignment', None)
    with pytest.raises(ImportError, match='pip install face-alignment'):
        FaceAlignmentLandmarkDetector()
