# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.utils.atomic import atomic_path, writable_dir


def test_file_appears_when_complete(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with atomic_path(target) as part:
        part.write_text('new')
        assert part.suffix == '.txt'
        assert target.read_text() == 'old'
    assert target.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [target]


def test_failure_keeps_the_old_file(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [target]


def test_writable_dir_makes_folders_and_names_the_bad_one(tmp_path):
    assert writable_dir(tmp_path / 'a' / 'b').is_dir()
    file = tmp_path / 'file'
    file.write_text('')
    with pytest.raises(ValueError, match=f'{file}.*Choose another'):
        writable_dir(file / 'out')
