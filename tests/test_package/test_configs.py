# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmtvface.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
)
from mmtvface.utils.setup_env import register_all_modules

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(p for p in CONFIGS.rglob('*.py')
                if '_base_' not in p.relative_to(CONFIGS).parts)
NAME = re.compile(r'[a-z0-9-]+_[a-z0-9-]+_\d+xb\d+-[a-z0-9-]+_[a-z0-9-]+')


@pytest.fixture(autouse=True)
def registered():
    register_all_modules()


def leaves(test, paths=LEAVES):
    return pytest.mark.parametrize(
        'path', paths, ids=lambda p: p.stem)(test)


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
    """Take away what would be loaded from elsewhere.

    Licensed files and pretrained weights are not part of the project, and
    no test downloads: the built-in head has the same dimensions.
    """
    if isinstance(cfg, dict):
        plain = {}
        for key, value in cfg.items():
            if key in ('init_cfg', 'pretrained', 'spynet_pretrained'):
                value = None
            elif key in ('model_path', 'path') and value is not None:
                value = 'procedural'
            elif key in ('landmark_embedding_path', 'uv_face_mask_path',
                         'uv_face_eye_mask_path',
                         'fixed_displacement_path'):
                value = None
            elif key == 'topology' and value is not None:
                value = 'procedural'
            elif key == 'weights' and isinstance(value, str):
                value = 'random'
            plain[key] = without_downloads(value)
        return plain
    if isinstance(cfg, list | tuple):
        return [without_downloads(v) for v in cfg]
    return cfg


@leaves
def test_model_builds(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(without_downloads(cfg.model.to_dict()))
    assert any(p.requires_grad for p in model.parameters())


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
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader is None or 'Synthetic' not in loader.dataset.type:
            continue
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) > 0
        if part == 'test':
            sample = dataset[0]
            assert sample['inputs'].ndim == 4
            assert sample['data_samples'].gt_landmarks.shape[-2:] == (68, 3)
