# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The SynthTV benchmark from scenes to tables, with a tiny model."""

import copy
import json
import math

import helpers.toy_reconstructor  # noqa: F401  registers ToyEncoder
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtvface.benchmarks.synthtv import SceneSettings, SynthTVDataset
from mmtvface.benchmarks.synthtv import evaluate as evaluation
from mmtvface.benchmarks.synthtv.budget import (
    budget_options,
    find_config,
    last_checkpoint,
)
from mmtvface.benchmarks.synthtv.evaluate import evaluate_model, plain
from mmtvface.benchmarks.synthtv.folder import generate
from mmtvface.benchmarks.synthtv.picture import level_sheet
from mmtvface.benchmarks.synthtv.table import (
    compare,
    frame_groups,
    motion_table,
    read_result,
    where_table,
)
from mmtvface.benchmarks.synthtv.tuning import (
    BETAS,
    IDENTITY_CUTOFFS,
    MIN_CUTOFFS,
    tune,
)
from mmtvface.reconstruction.smoothing import SmoothSettings, smooth_codes
from mmtvface.registry import MODELS
from mmtvface.utils.file_lock import file_lock

SIZE = 32
FRAMES = 4
LAYOUT = dict(shape=5, tex=2, exp=4)
HEAD = dict(num_shape=5, num_tex=2, num_expression=4)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A folder of two test scenes and one of val."""
    root = tmp_path_factory.mktemp('scenes')
    settings = [(SceneSettings(split, SIZE, FRAMES, head=HEAD), count)
                for split, count in (('val', 1), ('test', 2))]
    outcome = generate(root, settings, workers=1)
    assert list(outcome.values()) == ['made', 'made']
    assert set(generate(root, settings, workers=1).values()) == {'was there'}
    with file_lock(root / '.lock'), pytest.raises(ValueError, match='Another '
                                                  'process'):
        generate(root, settings)
    return root


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config and checkpoint of a model with random weights."""
    config = Config(dict(
        default_scope='mmtvface',
        model=dict(
            type='TemporalDECA', encoder=dict(type='ToyEncoder'),
            head=dict(type='FLAMEHead', layout=LAYOUT, hidden_channels=16,
                      init_cam=(8., 0., 0.), init_std=.05),
            flame=dict(type='FLAME', model_path='procedural', num_shape=5,
                       num_expression=4),
            image_size=SIZE, losses=None),
        train_dataloader=dict(dataset=dict(head=HEAD))))
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config.model))
    path = tmp_path_factory.mktemp('model') / 'iter_7.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=7)), path)
    return config, path


@pytest.fixture(scope='module')
def result(scenes, trained):
    return evaluate_model(*trained, scenes, name='raw', batch_size=2,
                          data=dict(scene_length=FRAMES))


def test_evaluation(result, trained, scenes):
    json.dumps(plain(result))
    assert result['iterations'] == 7 and result['name'] == 'raw'
    assert result['data']['num_clips'] == 2
    # Pixels to features, batch norm, two layers to 47 codes
    assert result['parameters'] == 49 * 8 + 16 + 9 * 16 + 17 * 47
    hard = result['levels']['hard']
    for name, values in hard['clips'].items():
        assert len(values) == 2
        if not name.startswith(('lag', 'motion')):
            assert hard['means'][name] == pytest.approx(np.mean(values))
    means = [part['means'] for part in result['levels'].values()]
    # The same clips at all levels
    assert len({round(part['jitter_true_mm'], 6) for part in means}) == 1
    # Random weights: far away, and restless when the pictures are bad
    assert 1 < means[0]['posed_mm'] < 200
    assert means[2]['jitter_pred_mm'] > means[0]['jitter_pred_mm']
    clips = hard['clips']
    assert hard['means']['lag_frames'] == pytest.approx(
        sum(clips['lag_delay']) / sum(clips['lag_motion']))
    assert hard['means']['identity_gain'] == pytest.approx(
        1 - np.mean(clips['neutral_mm']) / np.mean(clips['neutral_mean_mm']))
    assert hard['means']['yaw_amplitude'] == pytest.approx(math.sqrt(
        sum(clips['motion_yaw_pred']) / sum(clips['motion_yaw_true'])))
    # Random weights know nothing of the motion.
    assert abs(hard['means']['mouth_open_corr']) < .9


def test_perfect_predictions_have_no_error(trained, scenes, monkeypatch):
    def predict(model, dataset, batch_size):
        for index in range(len(dataset)):
            sample = dataset[index]['data_samples']
            yield dict(sample.gt_codes), sample

    monkeypatch.setattr(evaluation, 'predict_clips', predict)
    perfect = evaluate_model(*trained, scenes, difficulties=('hard', ),
                             data=dict(scene_length=FRAMES))
    means = perfect['levels']['hard']['means']
    follows = {name: means.pop(name) for name in list(means)
               if name.endswith(('_corr', '_amplitude', '_gain'))}
    assert len(follows) == 17
    for name, value in follows.items():
        # In four frames not everything moves.
        assert value == pytest.approx(1, abs=1e-3) or (
            math.isnan(value) and name.startswith(('eye', 'mouth'))), name
    for name, value in means.items():
        if name not in ('jitter_pred_mm', 'jitter_true_mm',
                        'neutral_mean_mm'):
            assert value == pytest.approx(0, abs=1e-3), name


def test_smoothing_is_tuned_and_steadies(result, trained, scenes):
    smooth = evaluate_model(
        *trained, scenes, smooth=SmoothSettings(), tune_clips=1,
        difficulties=('hard', ), data=dict(scene_length=FRAMES))
    assert smooth['name'].endswith('One-Euro')
    assert len(smooth['tuning']) == (
        len(MIN_CUTOFFS) * len(BETAS) + len(IDENTITY_CUTOFFS))
    assert {key: smooth['smooth'][key] for key in smooth['smooth']} in [
        {key: row[key] for key in smooth['smooth']}
        for row in smooth['tuning']]
    raw, calm = (part['levels']['hard']['means']
                 for part in (result, smooth))
    assert calm['jitter_pred_mm'] < raw['jitter_pred_mm']
    assert calm['drift_mm'] < raw['drift_mm']


def test_refinement_is_measured(result, trained, scenes):
    refined = evaluate_model(
        *trained, scenes, refine=2, difficulties=('hard', ),
        data=dict(scene_length=FRAMES))
    assert refined['name'].endswith('+ 2 steps of refinement')
    raw, fitted = (part['levels']['hard']['means']
                   for part in (result, refined))
    assert fitted['nme'] < .5 * raw['nme']
    truth = torch.rand(50, 68, 3)
    errors = evaluation.detected(truth, 0) - truth[..., :2]
    assert errors.mean(0).std() > .5 * evaluation.LANDMARK_NOISE
    assert torch.equal(evaluation.detected(truth, 0),
                       evaluation.detected(truth, 0))


def test_a_model_with_another_head_is_refused(trained, scenes):
    config = Config(dict(model=trained[0].model))
    with pytest.raises(ValueError, match='codes is'):
        # Other numbers of coefficients than the folder's
        evaluate_model(config, trained[1], scenes,
                       data=dict(scene_length=FRAMES))
    toy = evaluation.FLAME('procedural', None, 5, 4)
    toy.v_template += .01
    with pytest.raises(ValueError, match='another head'):
        evaluation.same_heads(
            toy, evaluation.FLAME('procedural', None, 6, 3))


def test_tune_keeps_accuracy():
    rng = np.random.default_rng(0)
    clips = [dict(exp=torch.from_numpy(np.outer(np.sin(
        np.arange(30) / 4), [1, 2]) + .1 * rng.normal(size=(30, 2))),
        shape=torch.from_numpy(.1 * rng.normal(size=(30, 2))))]
    truth = torch.from_numpy(np.outer(np.sin(np.arange(30) / 4), [1, 2]))

    def score(codes):
        exp = codes[0]['exp']
        wave = exp.diff(n=2, dim=0).norm(dim=1).mean().item()
        still = codes[0]['shape'].norm(dim=1).mean().item()
        return dict(posed_mm=(exp - truth).norm(dim=1).mean().item() + still,
                    jitter_mm=wave)

    best, tried = tune(clips, score)
    chosen = score([smooth_codes(clips[0], best)])
    assert chosen['posed_mm'] <= score(clips)['posed_mm']
    allowed = [row for row in tried
               if row['posed_mm'] <= score(clips)['posed_mm']]
    assert 0 < len(allowed) < len(tried)  # the limit matters
    assert chosen['jitter_mm'] == min(
        row['jitter_mm'] for row in allowed
        if row['identity_cutoff'] == best.identity_cutoff
        and row['min_cutoff'] == best.min_cutoff
        and row['beta'] == best.beta)


def test_tables(result, tmp_path):
    better = copy.deepcopy(result)
    better['name'] = 'better'
    for level in better['levels'].values():
        for part in level['clips'], level['means']:
            part['posed_mm'] = np.multiply(part['posed_mm'], .8).tolist()
    paths = []
    for entry in (better, result):
        paths.append(tmp_path / f"{entry['name']}.json")
        paths[-1].write_text(json.dumps(plain(entry)))
    text = compare([read_result(path) for path in paths], 'raw')
    lines = [line for line in text.splitlines() if line.startswith('| ')]
    assert text.count('### ') == text.count('the mean head is') == 3
    assert text.count('(-20.0 % [-20.0, -20.0])') == 3
    assert text.count('right eyelids') == 3
    assert [line.split()[1] for line in lines[:3]] == [
        'model', 'raw', 'better']
    rows = motion_table([dict(name=name, levels=dict(hard=dict(
        means=means))) for name, means in (
            ('old', {}), ('new', dict(jaw_corr=.956, jaw_amplitude=.5,
                                      yaw_corr=None, yaw_amplitude=None)))],
        'hard').splitlines()
    cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows]
    assert dict(zip(cells[0], cells[3], strict=True)) == {
        **dict.fromkeys(cells[0], '-'), 'model': 'new', 'jaw': '0.96, 0.50'}
    assert set(cells[2]) == {'old', '-'}
    with pytest.raises(ValueError, match="must be one of \\['better', 'raw"):
        compare([better, result], 'best')
    with pytest.raises(ValueError, match='same name'):
        compare([result, result])
    other = dict(result, name='other', data=dict(result['data'], seed=4))
    with pytest.raises(ValueError, match='not measured on the same clips'):
        compare([result, other])
    broken = tmp_path / 'broken.json'
    broken.write_text('{"levels": {"hard": {"clips": {}}}}')
    with pytest.raises(ValueError, match='is no result'):
        read_result(broken)
    with pytest.raises(FileNotFoundError, match='evaluate'):
        read_result(tmp_path / 'none.json')


def test_errors_by_what_happened_to_the_frames(result):
    for level in result['levels'].values():
        for values in level['frames'].values():
            assert np.shape(values) == (2, FRAMES)
        # Of all frames the mean is that of the clips.
        assert np.mean(level['frames']['posed_mm'], 1) == pytest.approx(
            level['clips']['posed_mm'])
    easy, _, hard = (level['frames'] for level in result['levels'].values())
    assert np.mean(hard['blur']) > 2 * np.mean(easy['blur'])
    assert np.max(easy['visible_skin']) == 1
    frames = dict(
        visible_skin=[[1., .7], [1., 1.]], blur=[[0., .1], [.01, .02]],
        frozen=[[False, False], [False, True]],
        posed_mm=[[2., 8.], [4., 6.]])
    groups = frame_groups(frames)
    assert {name: group.tolist() for name, group in groups.items()} == dict(
        clear=[[True, False], [True, False]],
        covered=[[False, True], [False, False]],
        frozen=[[False, False], [False, True]],
        blurred=[[False, True], [False, False]])
    base, other = (dict(name=name, levels=dict(hard=dict(frames=frames | dict(
        posed_mm=errors)))) for name, errors in (
            ('base', frames['posed_mm']), ('other', [[2., 4.], [5., None]])))
    header, _, *rows = where_table(
        [base, other], base, 'hard').strip().splitlines()
    assert 'clear, 50 %' in header and 'frozen, 25 %' in header
    assert [cell.strip() for cell in rows[0].split('|')[2:-1]] == [
        '3', '8', '6', '8']
    cells = [cell.strip() for cell in rows[1].split('|')[2:-1]]
    assert cells[0].startswith('3.5 (+16.7 %') and cells[2] == '-'
    assert cells[1] == cells[3] == '4 (-50.0 % [-50.0, -50.0])'
    del other['levels']['hard']['frames']
    assert where_table([base, other], base, 'hard') is None


def test_sheet_of_the_levels(scenes):
    data = [(level, SynthTVDataset(
        'test', level, clip_length=None, scene_length=FRAMES,
        image_size=SIZE, head=HEAD, data_root=scenes))
        for level in ('easy', 'hard')]
    sheet = level_sheet(data, [1], [0, 2, 3])
    assert sheet.shape == (2 * (SIZE + 2), 22 + 3 * (SIZE + 2), 3)
    image = data[1][1][1]['inputs'][2].permute(1, 2, 0).numpy()
    corner = sheet[SIZE + 2:, 22 + SIZE + 2:][:SIZE, :SIZE]
    assert np.array_equal(corner, image)
    assert (sheet[:, :22] < 128).any()  # labels


def test_budget(tmp_path):
    config = tmp_path / 'model.py'
    config.write_text(
        'param_scheduler = [dict(end=50), dict(begin=50, end=1000)]\n'
        'train_cfg = dict(max_iters=1000, val_interval=1000)\n')
    assert find_config('model', tmp_path) == config
    options = budget_options(config, 300)
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({key: int(value) for key, value in (
        option.split('=') for option in options)})
    assert cfg.train_cfg == dict(max_iters=300, val_interval=300)
    assert [part.end for part in cfg.param_scheduler] == [50, 300]
    assert budget_options(config, None) == []
    with pytest.raises(FileNotFoundError, match='there are model'):
        find_config('mdl', tmp_path)
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        last_checkpoint(tmp_path)
    (tmp_path / 'iter_3.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/moved/iter_3.pth')
    assert last_checkpoint(tmp_path) == tmp_path / 'iter_3.pth'
