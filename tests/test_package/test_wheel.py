# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The wheel as OpenMMLab's tools see it: configs, tools and model index."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
CONFIG = 'lite-deca_r18w32_1xb12-1800_synthtv-packaged-112'


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder with the contents of a wheel of this package."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    # Building writes beside the sources.
    shutil.copytree(REPO, source, ignore=shutil.ignore_patterns(
        '.git', '.venv', 'work_dirs', 'data', 'tests', 'docs', '*.egg-info',
        'build', 'node_modules', '.*_cache', '__pycache__'))
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--quiet',
         '--no-build-isolation', '--wheel-dir', str(folder), str(source)],
        check=True)
    wheel, = folder.glob('*.whl')
    assert wheel.stat().st_size < 40e6
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'site')
    return folder / 'site'


def test_configs_tools_and_index_are_inside(installed):
    mim = installed / 'mmtvface' / '.mim'
    for folder in ('configs', 'tools/model_converters'):
        assert {path.name for path in (mim / folder).rglob('*.py')} == {
            path.name for path in (REPO / folder).rglob('*.py')}
    assert (mim / 'tools' / 'train.py').is_file()
    assert (mim / 'configs' / 'lite_deca' / 'metafile.yml').is_file()
    assert (mim / 'model-index.yml').read_bytes() == (
        REPO / 'model-index.yml').read_bytes()


@pytest.mark.parametrize('name', [
    f'lite_deca/{CONFIG}',
    'temporal_deca/temporal-deca_tiny_1xb8-detail_synthetic-wrinkles'])
def test_a_config_inherits_from_the_package(installed, tmp_path, name):
    config = tmp_path / 'own.py'
    config.write_text(f"_base_ = 'mmtvface::{name}.py'\n"
                      'model = dict(skip_nonfinite=True)\n')
    code = (
        'import mmtvface\n'
        'from mmengine.config import Config\n'
        'from mmtvface.heads import share_settings\n'
        'from mmtvface.registry import MODELS\n'
        f'cfg = Config.fromfile({str(config)!r})\n'
        'share_settings(cfg)\n'
        'model = MODELS.build(cfg.model)\n'
        'assert model.skip_nonfinite and model.losses\n'
        'print(mmtvface.__file__)\n')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], text=True, check=True,
        capture_output=True, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)})
    assert done.stdout.splitlines()[-1].startswith(str(installed))


def test_the_training_script_reads_such_a_config(installed, tmp_path):
    tool = installed / 'mmtvface' / '.mim' / 'tools' / 'train.py'
    done = subprocess.run(
        [sys.executable, str(tool), '--help'], text=True, check=True,
        capture_output=True, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)})
    assert 'config' in done.stdout
