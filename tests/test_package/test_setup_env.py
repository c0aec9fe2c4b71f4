# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import warnings

import pytest
from mmengine.registry import DefaultScope

from mmtvface.utils.setup_env import register_all_modules


@pytest.fixture(autouse=True)
def clean_scope():
    """Leave the default scope as it was."""
    before = dict(DefaultScope._instance_dict)
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


def test_scope_becomes_the_default():
    register_all_modules()
    assert DefaultScope.get_current_instance().scope_name == 'mmtvface'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        register_all_modules()


def test_scope_can_be_left_alone():
    register_all_modules(init_default_scope=False)
    assert DefaultScope.get_current_instance() is None


def test_replacing_another_scope_warns():
    DefaultScope.get_instance('mmagic', scope_name='mmagic')
    with pytest.warns(UserWarning, match='"mmagic" is replaced'):
        register_all_modules()
    assert DefaultScope.get_current_instance().scope_name == 'mmtvface'


def test_types_are_found_with_their_scope():
    from mmengine.registry import MODELS
    register_all_modules(init_default_scope=False)
    assert MODELS.get('mmtvface.TemporalDECA') is not None
