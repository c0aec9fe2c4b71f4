# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmtvface.heads import share_settings
from mmtvface.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
)
from mmtvface.utils.packaged_model import PACKAGED_NAME
from mmtvface.utils.setup_env import register_all_modules

REPO = Path(__file__).resolve().parents[2]
CONFIGS, PACKAGE = REPO / 'configs', REPO / 'mmtvface'
LEAVES = sorted(p for p in CONFIGS.rglob('*.py')
                if '_base_' not in p.relative_to(CONFIGS).parts)
NAME = re.compile(r'[a-z0-9-]+_[a-z0-9-]+_\d+xb\d+-[a-z0-9-]+_[a-z0-9-]+')


@pytest.fixture(autouse=True)
def registered():
    register_all_modules()


def leaves(test, paths=LEAVES):
    return pytest.mark.parametrize(
        'path', paths, ids=lambda p: p.stem)(test)


def leaves_and(*more):
    return lambda test: leaves(test, [*LEAVES, *more])


def own_leaves(test):
    """Without those in mmagic's scope, whose runner is tested by a run."""
    return leaves(test, [p for p in LEAVES if p.parent.name != 'mmagic'])


def test_there_are_configs():
    assert len(LEAVES) >= 4


@leaves
def test_name_and_length(path):
    assert NAME.fullmatch(path.stem)
    assert len(path.read_text().splitlines()) <= 60


def without_downloads(cfg):
    """Take away weights, which are not part of the project."""
    if isinstance(cfg, dict):
        plain = {}
        for key, value in cfg.items():
            if key in ('init_cfg', 'pretrained', 'spynet_pretrained'):
                value = None
            elif key == 'weights' and isinstance(value, str):
                value = 'random'
            plain[key] = without_downloads(value)
        return plain
    if isinstance(cfg, list | tuple):
        return [without_downloads(v) for v in cfg]
    return cfg


def keys(cfg, place=''):
    """Dotted names of all entries of a config."""
    if isinstance(cfg, dict):
        cfg = cfg.items()
    elif isinstance(cfg, list | tuple):
        cfg = enumerate(cfg)
    else:
        return
    for key, value in cfg:
        yield f'{place}{key}'
        yield from keys(value, f'{place}{key}.')


PACKAGED = PACKAGE / 'weights' / f'{PACKAGED_NAME}.py'
SPELLINGS = re.compile(
    r'(.*\.)?(head|topology|model_path|\w*embedding_path|template_path|'
    r'texture_path|path|uv_face_mask\w*|uv_face_eye_mask\w*|'
    r'fixed_displacement\w*)')


#: Their models have no head: a restorer, and optical flow.
HEADLESS = ('mmagic', 'spynet')


@leaves_and(PACKAGED)
def test_the_head_is_named_once(path):
    """``model.head``; everything else gets it from there."""
    cfg = Config.fromfile(path)
    found = [key for key in keys(cfg._cfg_dict) if SPELLINGS.fullmatch(key)]
    if path.parent.name not in HEADLESS:
        assert found == ['model.head']
        assert cfg.model.head == dict(type='procedural')
    else:
        assert not found


@leaves
def test_model_builds(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(without_downloads(cfg.model.to_dict()))
    assert any(p.requires_grad for p in model.parameters())


@own_leaves
def test_the_size_of_the_pictures_is_stated_once(path):
    """``model.image_size``; the renderer and the data get it from there."""
    cfg = Config.fromfile(path)
    if path.parent.name in HEADLESS:
        pytest.skip('the data set alone knows the size')
    size = cfg.model.image_size
    found = {key for key in keys(cfg._cfg_dict) if key.endswith('image_size')}
    # The size of restored pictures is another one.
    assert found - {'model.encoder.image_size'} == {'model.image_size'}
    share_settings(cfg)
    for part in ('train', 'val', 'test'):
        data = cfg.get(f'{part}_dataloader', {}).get('dataset', {})
        for dataset in data.get('datasets', [data]):
            assert dataset.get('image_size', size) == size
            # Each step of the pictures' way is to be seen in the config.
            names = [step.type for step in dataset.get('pipeline', [])]
            if 'Clip' in dataset.get('type', '') and (
                    'Synthetic' not in dataset.type):
                assert names[0] == 'LoadFaceClip'
                assert names[-1] == 'PackFaceClip'


@own_leaves
def test_parts_of_the_runner_are_registered(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmtvface'
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        assert (loader is None) == (cfg.get(f'{part}_cfg') is None)
        if loader is None:
            continue
        dataset = loader.dataset
        assert DATASETS.get(dataset.type) is not None, dataset.type
        for step in dataset.get('pipeline', []):
            TRANSFORMS.build(step)
        if part != 'train':
            metrics = cfg[f'{part}_evaluator']
            metrics = metrics if isinstance(metrics, list) else [metrics]
            for metric in metrics:
                METRICS.build(metric)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        assert HOOKS.get(hook.type) is not None, hook.type
    # Configs that only evaluate have no optimizer.
    constructor = cfg.get('optim_wrapper', {}).get('constructor')
    assert constructor is None or OPTIM_WRAPPER_CONSTRUCTORS.get(constructor)


@own_leaves
def test_generated_datasets_build_and_give_samples(path):
    cfg = Config.fromfile(path)
    share_settings(cfg)
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader is None or 'Synthetic' not in loader.dataset.type:
            continue
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) > 0
        if part == 'test':
            sample = dataset[0]
            size = cfg.model.image_size
            assert sample['inputs'].shape[1:] == (3, size, size)
            assert sample['data_samples'].gt_landmarks.shape[-2:] == (68, 3)
