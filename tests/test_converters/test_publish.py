# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import subprocess
import sys

import pytest
import torch
from helpers.toy_pictures import find_bright_boxes, picture
from helpers.toy_reconstructor import toy_config
from mmengine.config import Config

from mmtvface.apis import FaceReconstructor
from mmtvface.converters import publish
from mmtvface.converters.publish import (
    check_motion,
    inference_config,
    inference_weights,
)
from mmtvface.registry import MODELS

METRICS = {'nme': .5, 'motion/mouth_open_amplitude': .8,
           'motion/mouth_open_corr': .9}


@pytest.fixture
def trained(tmp_path):
    """A config file and a checkpoint as a training leaves it."""
    path, weights = tmp_path / 'toy.py', tmp_path / 'iter_7.pth'
    Config(dict(
        custom_imports=dict(imports=['helpers.toy_reconstructor']),
        model=toy_config(losses=dict(vertex=dict(type='VertexLoss'))),
        test_dataloader=dict(dataset=dict(
            type='FaceClipDataset', clip_length=3, image_size=32)),
        load_from='/home/me/start.pth')).dump(path)
    torch.manual_seed(0)
    state = MODELS.build(toy_config()).state_dict()
    state['losses.vertex.weight'] = torch.ones(3)
    torch.save(dict(
        state_dict=state,
        meta=dict(iter=7, seed=3, time='20260102_030405'),
        optimizer=dict(state=torch.zeros(10**5)),
        message_hub=dict(a=1)), weights)
    return path, weights


def test_published_files_give_the_same_results(trained, tmp_path):
    made = publish.publish(
        *trained, tmp_path / 'out', 'toy-model', metrics=METRICS,
        commands=['train it'], origin='configs/toy.py')
    assert made.checkpoint.stat().st_size < trained[1].stat().st_size - 4e5
    content = torch.load(made.checkpoint, weights_only=True)
    assert set(content) == {'state_dict', 'meta'}
    info = json.loads(made.config.with_suffix('.json').read_text())
    assert info == made.info
    assert info | dict(seed=3, iterations=7, date='2026-01-02',
                       config='configs/toy.py', commands=['train it'],
                       metrics=METRICS, start='start.pth') == info
    found, expected = (
        next(FaceReconstructor(config, weights, 'cpu',
                               detector=find_bright_boxes)(picture()))
        for config, weights in (made[:2], trained))
    assert (found.vertices == expected.vertices).all()
    first = [path.read_bytes() for path in (made.config, made.checkpoint)]
    again = publish.publish(*trained, tmp_path / 'again', 'other',
                            metrics=METRICS, origin='configs/toy.py')
    assert [again.config.read_bytes(), again.checkpoint.read_bytes()] == first


def test_configs_keep_what_inference_needs(trained):
    config = Config.fromfile(trained[0])
    small = inference_config(config)
    assert 'losses' not in small.model and 'load_from' not in small
    assert small.test_dataloader == config.test_dataloader
    config.model['flame']['model_path'] = '/home/me/flame.pkl'
    with pytest.raises(ValueError, match='model.flame.model_path is the abs'):
        inference_config(config)


def test_weights_are_float32_and_own_their_memory():
    large = torch.zeros(1000, dtype=torch.float64)
    found = inference_weights(dict(state_dict={
        'module.a': large[:2], 'n': torch.tensor(3), 'losses.b': large}))
    assert set(found) == {'a', 'n'} and found['n'].dtype == torch.int64
    assert found['a'].dtype == torch.float32
    assert found['a'].untyped_storage().nbytes() == 8


def test_large_weights_are_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, 'MAX_BYTES', 1000)
    with pytest.raises(ValueError, match='MB are packaged'):
        publish.publish(*trained, tmp_path / 'out', metrics=METRICS)
    assert not (tmp_path / 'out').exists()


def test_models_whose_faces_stand_still_are_refused(trained, tmp_path):
    levels = dict(lite=dict(data=dict(seed=0), easy=dict(
        mouth_open_amplitude=.9, mouth_open_corr=.9), hard=dict(
            mouth_open_amplitude=.0312, mouth_open_corr=.1)))
    with pytest.raises(ValueError, match=r'0\.0312 .*lite hard mouth_open'):
        publish.publish(*trained, tmp_path / 'out', metrics=levels)
    unknown = [{}, dict(nme=.1, easy=dict(mouth_open_corr=.9)),
               {'motion/mouth_open_amplitude': None}]
    for metrics in unknown:
        with pytest.raises(ValueError, match='tools/synthtv.py evaluate'):
            publish.publish(*trained, tmp_path / 'out', metrics=metrics)
    assert not (tmp_path / 'out').exists()
    def check(amplitude, correlation):
        check_motion({'test': {'motion/mouth_open_amplitude': amplitude,
                               'motion/mouth_open_corr': correlation}})

    check(.5, .5)
    # A mouth that hardly moves, one that shakes, one that moves as it likes
    for amplitude, correlation in ((.499, 1.), (2.1, .9), (1., .49)):
        with pytest.raises(ValueError, match=f'with {amplitude:.3g} of.*'
                           f'correlation of {correlation:.3g} '):
            check(amplitude, correlation)
    # Hard pictures may hide the mouth, easy ones do not.
    check_motion(dict(
        easy=dict(mouth_open_amplitude=1., mouth_open_corr=.9),
        hard=dict(mouth_open_amplitude=1., mouth_open_corr=.3)))
    with pytest.raises(ValueError, match='2 steps of refinement'):
        publish.result_summary(dict(name='a', refine=2, levels={}))


@pytest.mark.parametrize('given', [dict(config='a.py'),
                                   dict(checkpoint='a.pth')])
def test_config_and_checkpoint_belong_together(given):
    with pytest.raises(ValueError, match=f'Only the {next(iter(given))} is'):
        FaceReconstructor(**given)


def test_the_packaged_model_runs_without_mmagic():
    code = '''
import sys
import numpy as np
from mmtvface.apis import FaceReconstructor
from helpers.toy_pictures import POINTS, picture
found = [POINTS * 39 + [40, 30]]
result, = FaceReconstructor(device='cpu', detector=lambda image: found)(
    picture())
assert result.valid and np.isfinite(result.vertices).all()
print(result.vertices.shape,
      [m for m in ('mmagic', 'diffusers', 'mediapipe') if m in sys.modules])
'''
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code],
                          text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == '(5003, 3) []'
