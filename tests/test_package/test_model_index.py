# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""model-index.yml and the metafiles, in the form of OpenMMLab's projects."""

import json
import re
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs'
FOLDERS = sorted(
    folder for folder in CONFIGS.iterdir()
    if folder.is_dir() and folder.name != '_base_')
each_folder = pytest.mark.parametrize('folder', FOLDERS,
                                      ids=lambda folder: folder.name)


def load(path):
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def models():
    return [model for folder in FOLDERS
            for model in load(folder / 'metafile.yml')['Models']]


def test_the_index_imports_every_metafile():
    assert load(REPO / 'model-index.yml') == dict(Import=[
        f'configs/{folder.name}/metafile.yml' for folder in FOLDERS])


@each_folder
def test_a_metafile_has_one_collection_and_all_configs(folder):
    content = load(folder / 'metafile.yml')
    assert set(content) == {'Collections', 'Models'}
    collection, = content['Collections']
    assert collection['README'] == f'configs/{folder.name}/README.md'
    assert (REPO / collection['README']).is_file()
    assert (REPO / collection['Code']['URL']).is_dir()
    assert collection['Metadata'].keys() == {'Architecture', 'Training Data'}
    for model in content['Models']:
        assert model['In Collection'] == collection['Name']
    assert sorted(model['Config'] for model in content['Models']) == sorted(
        f'configs/{folder.name}/{path.name}' for path in folder.glob('*.py'))


def test_names_are_unique_and_files_exist():
    names = [model['Name'] for model in models()]
    assert len(names) == len(set(names))
    for model in models():
        assert (REPO / model['Config']).is_file()
        if 'Weights' in model:
            assert (REPO / model['Weights']).is_file()
            assert Path(model['Weights']).stem == model['Name']
        else:
            assert Path(model['Config']).stem == model['Name']


@each_folder
def test_results_are_those_of_the_readme(folder):
    """Each row of metrics stands in a table, in this order."""
    rows = [re.findall(r'(?<![\w.^-])\d+\.\d+', re.sub(r'\([^)]*\)', '', line))
            for line in (folder / 'README.md').read_text(
                encoding='utf-8').splitlines() if line.startswith('|')]
    rows = [[float(value) for value in row] for row in rows]
    for model in load(folder / 'metafile.yml')['Models']:
        for result in model.get('Results', []):
            assert result.keys() == {'Task', 'Dataset', 'Metrics'}
            values = list(result['Metrics'].values())
            assert any(row[:len(values)] == values for row in rows), model


def test_results_of_the_packaged_model():
    model, = (model for model in models() if 'Weights' in model)
    info = json.loads((REPO / model['Weights']).with_suffix('.json')
                      .read_text(encoding='utf-8'))
    assert info['config'] == model['Config']
    assert info['parameters'] == model['Metadata']['Parameters']
    hard, = model['Results']
    measured = info['metrics']['packaged']['hard']
    assert list(hard['Metrics'].values()) == [
        round(measured[name], 1) for name in ('posed_mm', 'nme')]


@each_folder
def test_links_of_the_readme(folder):
    text = (folder / 'README.md').read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)#]+)', text):
        if not target.startswith('http'):
            assert (folder / target).exists(), target
