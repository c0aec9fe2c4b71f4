# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The GPU check: its dry run, its limits, and the page it writes."""

import json
import sys
import time
import warnings

import pytest
import torch
import torchvision

from mmtvface.benchmarks.gpu import check as gpu_check
from mmtvface.benchmarks.gpu import records as gpu_records
from mmtvface.benchmarks.gpu import report as gpu_report
from mmtvface.benchmarks.gpu import steps as gpu_steps


@pytest.fixture(scope='module')
def dry(tmp_path_factory):
    out = tmp_path_factory.mktemp('dry')
    report = gpu_check.main(['--dry-run', '--out', str(out)])
    assert json.loads((out / 'gpu_check.json').read_text()) == report
    return report


def by_name(report, part):
    return {record['name']: record
            for record in report['parts'][part]['records']}


def test_every_line_runs_without_a_gpu(dry):
    assert gpu_report.problems(dry) == []
    assert {part['status'] for part in dry['parts'].values()} == {'done'}
    tests = by_name(dry, 'tests')
    passed = [name for name, one in tests.items()
              if one['outcome'] == 'passed']
    assert len(passed) >= 10
    for word in ('rasterizer', 'deformable', 'bfloat16', 'repeats',
                 'resumed', 'rendered'):
        assert any(word in name for name in passed), word
    steps = by_name(dry, 'steps')
    for model in ('temporal_deca coarse', 'temporal_deca detail',
                  'lite_deca coarse', 'lite_deca detail'):
        one = steps[f'{model}, bf16']
        assert one['flop'] > 1e8 and one['bytes'] > 1e8 and one['kernels']
    assert steps['lite_deca coarse, bf16, channels last, compiled']['ms'] > 0
    assert by_name(dry, 'data')['packaged model, float32']['ms'] > 0
    for command in dry['parts']['reconstruct']['records']:
        assert command['metrics']['frames_reconstructed'] == command['frames']
    assert len(dry['parts']['reconstruct']['records']) == 2
    training = by_name(dry, 'training')['training']
    assert training['finite'] and training['iterations'] == 4
    assert by_name(dry, 'training')['losses 4']['losses']['loss'] > 0


def test_a_part_that_hangs_or_dies_loses_only_itself(tmp_path, monkeypatch):
    part = tmp_path / 'gpu_parts.py'
    part.write_text('''
import json, os, subprocess, sys, time
name, path = sys.argv[1], sys.argv[3]
with open(path, 'a') as file:
    for values in (dict(name='first', value=1), dict(name='first', more=2),
                   dict(name='planned')):
        file.write('\\n' + json.dumps(dict(part=name, **values)) + '\\n')
    file.write('{"part": "half')
if name == 'data':  # hangs
    subprocess.Popen(['sleep', '60'])
    time.sleep(60)
if name == 'tests':
    os._exit(3)
''')
    monkeypatch.setattr(gpu_check, 'RUN_PART', [sys.executable, str(part)])
    monkeypatch.setattr(gpu_check, 'PARTS', dict.fromkeys(
        ('tests', 'data', 'steps'), gpu_check.Limit(4, 0, 0)))
    monkeypatch.setattr(gpu_check, 'LEAST', 1)
    start = time.perf_counter()
    report = gpu_check.check(
        tmp_path / 'out', ['tests', 'data', 'steps'], 'default')
    assert time.perf_counter() - start < 45
    parts = report['parts']
    assert [part['status'] for part in parts.values()] == [
        'failed', 'out of time', 'done']
    assert 'ended with 3' in parts['tests']['error']
    assert all(part['records'] == [dict(name='first', value=1, more=2),
                                   dict(name='planned')]
               for part in parts.values())
    problems = gpu_report.problems(report)
    assert 'data: out of time' in problems
    assert 'steps, planned: not reached' in problems


def test_a_part_that_fails_says_so(tmp_path):
    result = gpu_check.run_part('nonsense', 60, tmp_path, True)
    assert result['status'] == 'failed' and 'error' not in result
    record, = gpu_check.read_records(tmp_path)['nonsense']
    assert record['error'] == "KeyError: 'nonsense'"


def test_a_missing_mmagic_costs_its_own_lines_only(tmp_path, monkeypatch):
    def run_part(name, seconds, folder, dry_run):
        check = gpu_records.Check(name, folder / 'records.jsonl', 0, dry_run)
        if name == 'environment':
            check.record('mmagic', error='ImportError: no mmagic')
        return dict(status='done', seconds=1.)

    monkeypatch.setattr(gpu_check, 'run_part', run_part)
    report = gpu_check.check(tmp_path, ['data'], 'default')
    assert report['error'] is None
    assert report['parts']['data']['status'] == 'done'
    problem, = gpu_report.problems(report)
    assert 'no temporal_deca: ImportError: no mmagic' in problem


def test_what_the_card_says_is_not_lost(tmp_path, monkeypatch):
    def run_part(name, seconds, folder, dry_run):
        gpu_records.Check(name, folder / 'records.jsonl', 0, dry_run).record(
            name, error='The driver is too old.')
        return dict(status='failed', seconds=1.)

    monkeypatch.setattr(gpu_check, 'run_part', run_part)
    report = gpu_check.check(tmp_path, ['data'], 'default')
    assert report['error'] == 'The driver is too old.'
    assert report['parts']['data']['status'] == 'not reached'


def test_what_time_does_not_reach_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, 'TOTAL', gpu_check.Limit(0, 0, 0))
    monkeypatch.setattr(gpu_check, 'run_part', lambda *args: dict(
        status='done'))
    report = gpu_check.check(tmp_path, ['training'], 'dry')
    assert report['parts']['training'] == dict(
        status='not reached', records=[])
    assert gpu_report.problems(report) == ['training: not reached']


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_one_sentence_says_so(tmp_path, capsys):
    report = gpu_check.main(['--out', str(tmp_path)])
    assert '--dry-run' in report['error']
    assert report['error'].count('. ') == 0
    assert '--dry-run' in capsys.readouterr().out
    assert json.loads((tmp_path / 'gpu_check.json').read_text()) == report


def test_errors_become_one_sentence(tmp_path):
    check = gpu_records.Check('steps', tmp_path / 'records', 0, True)
    for error in (torch.OutOfMemoryError('CUDA out of memory. Tried ...'),
                  RuntimeError('Failed to find C compiler. Please specify'),
                  RuntimeError('no kernel image is available'),
                  ZeroDivisionError()):
        with check.attempt('what'):
            raise error
    lines = (tmp_path / 'records').read_text().splitlines()
    texts = [json.loads(line)['error'] for line in lines if line]
    assert texts == [
        'The GPU has not enough memory for this.',
        'Triton finds no C compiler; install gcc or set CC.',
        'The driver is too old for this PyTorch or Triton: no kernel image '
        'is available', 'ZeroDivisionError: ZeroDivisionError']


@pytest.fixture
def on_a_gpu(tmp_path, monkeypatch):
    """A check that believes in a GPU, whose events are 3, 1, 2, ... ms."""
    times = iter([3., 1., 2.] * 9)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            pass

        def elapsed_time(self, end):
            assert isinstance(end, Event)
            return next(times)

    for name, value in dict(
            Event=Event, synchronize=lambda: None, empty_cache=lambda: None,
            reset_peak_memory_stats=lambda: None,
            max_memory_allocated=lambda: 2**31,
            set_sync_debug_mode=lambda mode: None).items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(gpu_records, 'WARM_UP', 0.)
    return gpu_records.Check('steps', tmp_path / 'records', 0, False)


def test_what_is_measured_by_the_device_only(on_a_gpu):
    runs = []
    assert on_a_gpu.median_ms(lambda: runs.append(0), 3) == 2.
    assert len(runs) == 5
    assert on_a_gpu.peak_gib() == 2.

    def step():
        for _ in range(3):
            warnings.warn('called a synchronizing CUDA operation',
                          stacklevel=1)
        warnings.warn('something else', stacklevel=1)

    assert gpu_steps.count_waits(on_a_gpu, step) == 3
    with on_a_gpu.attempt('what'):
        raise RuntimeError('no')
    assert 'RuntimeError: no' in on_a_gpu.records.read_text()


def test_operators_are_counted():
    x = torch.ones(10, 20)
    with gpu_steps.ByteCounter() as moved:
        y = x.t()[:5] + 1  # 5 x 10: read and written
        x[:1].expand(9, 20) + 1  # 20, but storage of 200, and 180
    assert y.shape == (5, 10)
    assert moved.bytes == 4 * (2 * 50 + 180 + 180)
    conv = gpu_steps.FlopCounterMode(display=False, custom_mapping={
        torch.ops.torchvision.deform_conv2d: gpu_steps.deform_flop,
        torch.ops.torchvision._deform_conv2d_backward:
        gpu_steps.deform_backward_flop})
    x, weight = torch.rand(1, 4, 5, 6), torch.rand(3, 4, 3, 3)
    weight.requires_grad_()
    with conv:
        torchvision.ops.deform_conv2d(
            x, torch.zeros(1, 18, 5, 6), weight, padding=1).sum().backward()
    assert conv.get_total_flops() == 3 * (2 * 3 * 5 * 6 * 4 * 9)


def test_the_page_shows_what_a_gpu_did(dry, tmp_path):
    page = tmp_path / 'gpu.md'
    page.write_text(f'before\n{gpu_report.BEGIN}\nold\n{gpu_report.END}\n'
                    'after\n')
    with pytest.raises(ValueError, match='without a GPU'):
        gpu_report.write_page(page, dry)
    report = json.loads(json.dumps(dry))
    report['environment'] |= dict(card='A card', memory_gib=140.,
                                  cuda='13.0', date='2020-02-03')
    report['parts']['steps']['records'] += [
        dict(name='large', error='The GPU has | not enough.'),
        dict(name='last')]
    report['parts']['rasterizer']['records'].append(dict(
        report['parts']['rasterizer']['records'][0],
        name='triton, 10 x 224', forward_backward_ms=.75))
    gpu_report.write_page(page, report)
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('-->\nafter\n')
    assert 'old' not in text and '2020-02-03, A card (140 GiB)' in text
    for words in ('triton, 1 x 12', 'temporal_deca detail, bf16',
                  'pictures by ClipRenderer', 'frames a minute',
                  '* steps, large: The GPU has / not enough.',
                  '* steps, last: not reached', '| 0.75 | met |',
                  'waits, at most 0 | - | not measured'):
        assert words in text, words
    assert json.loads((tmp_path / 'gpu_check.json').read_text()) == report
    page.write_text('no marks')
    with pytest.raises(ValueError, match='must hold the lines'):
        gpu_report.write_page(page, report)


def test_the_page_of_the_project_has_its_marks():
    text = gpu_check.PAGE.read_text()
    assert text.count(gpu_report.BEGIN) == text.count(gpu_report.END) == 1
