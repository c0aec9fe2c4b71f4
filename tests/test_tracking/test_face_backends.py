# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import pytest
from helpers.scripted_faces import ScriptedBackend

from mmtvface.tracking.detectors import (
    BACKENDS,
    FaceBackend,
    LandmarkFollower,
    build_backend,
    usable_backends,
)


def test_names_and_options_are_checked():
    with pytest.raises(ValueError,
                       match="'face-alignment', 'mediapipe'.*'dlib'"):
        build_backend('dlib')
    with pytest.raises(ValueError,
                       match='no option weights; it has min_confidence'):
        build_backend('mediapipe', weights='folder')


def test_what_is_missing_is_said_with_the_remedy(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, 'face_alignment', None)
    monkeypatch.setitem(sys.modules, 'mediapipe.python.solution_base', None)
    reasons = usable_backends()
    assert set(reasons) == set(BACKENDS) == {'mediapipe', 'face-alignment'}
    assert '--no-deps mediapipe' in reasons['mediapipe']
    assert 'pip install face-alignment' in reasons['face-alignment']
    assert capfd.readouterr() == ('', '')


def test_what_is_usable_has_no_reason():
    pytest.importorskip('mediapipe.python.solution_base')
    assert usable_backends()['mediapipe'] == ''


def test_backends_have_the_interface():
    backends = [ScriptedBackend([])]
    if not usable_backends()['mediapipe']:
        backends.append(build_backend())
    for backend in backends:
        assert isinstance(backend, FaceBackend)
        follower = backend.follower()
        assert isinstance(follower, LandmarkFollower)
        follower.reset()
        follower.close()
        backend.close()
