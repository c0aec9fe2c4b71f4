# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from mmtvface.utils.assets import listing


def test_contents_of_folders(tmp_path):
    assert listing(tmp_path / 'no') == 'no such folder'
    assert listing(tmp_path) == 'nothing in it'
    for name in 'bac':
        (tmp_path / name).touch()
    assert listing(tmp_path) == '3 other entries: a, b, c'
    assert listing(tmp_path, 2) == '3 other entries: a, b, ...'
