# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The instructions in data/README.md, followed with the built-in head."""
import argparse
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config, DictAction

from mmtvface.heads.providers.procedural import save_procedural_head
from mmtvface.registry import MODELS
from mmtvface.utils.setup_env import register_all_modules

REPO = Path(__file__).resolve().parents[2]
README = (REPO / 'data' / 'README.md').read_text(encoding='utf-8')
BASE = 'deca_r50_1xb2-coarse_face-clips.py'


def block(language):
    return re.search(rf'```{language}\n(.*?)```', README, re.DOTALL).group(1)


def by_file(folder):
    path = folder / 'leaf.py'
    path.write_text(block('python').replace(
        f"'./{BASE}'", repr(str(REPO / 'configs' / 'deca' / BASE))))
    return Config.fromfile(path)


def by_options(folder):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    words = shlex.split(block('bash').replace('\\\n', ''))
    options = parser.parse_args(words).cfg_options
    cfg = Config.fromfile(REPO / 'configs' / 'deca' / BASE)
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('read', [by_file, by_options])
def test_a_config_is_pointed_at_the_files(read, tmp_path, monkeypatch):
    register_all_modules()
    model = read(tmp_path).model
    assert model.head == dict(type='flame', root='data/flame')
    folder = save_procedural_head(tmp_path / 'data' / 'flame')
    monkeypatch.chdir(tmp_path)
    MODELS.build(model)
    (folder / 'head_template.obj').unlink()
    with pytest.raises(FileNotFoundError, match='head_template.obj'):
        MODELS.build(model)
