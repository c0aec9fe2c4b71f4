# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
from helpers.toy_ict import save_toy_ict

from mmtvface.converters import ict_facekit


@pytest.fixture(scope='session')
def toy_ict(tmp_path_factory):
    """A fake checkout of ICT-FaceKit; not to be changed."""
    return save_toy_ict(tmp_path_factory.mktemp('ict') / 'kit')


@pytest.fixture(scope='session')
def ict_kit(toy_ict):
    """Its meshes."""
    return ict_facekit.read_kit(toy_ict.folder, toy_ict.layout)


@pytest.fixture(scope='session')
def ict_head(toy_ict, ict_kit):
    """Its head, with the inside of the mouth and teeth."""
    return ict_facekit.convert_kit(ict_kit, toy_ict.layout,
                                   ('mouth_socket', 'teeth'))
