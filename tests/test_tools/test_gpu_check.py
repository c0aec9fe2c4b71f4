# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The GPU check: its dry run, its limits, and the page it writes."""

import importlib
import json
import sys
import time
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
sys.path.insert(0, str(TOOLS))
gpu_check, gpu_parts, gpu_report = map(
    importlib.import_module, ('gpu_check', 'gpu_parts', 'gpu_report'))


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
    assert gpu_report.problems(dry, 'error', 'left_out') == []
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
    assert 'lite_deca coarse, bf16, channels last, compiled' in steps
    assert by_name(dry, 'data')['packaged model, float32']['ms'] > 0
    command = by_name(dry, 'reconstruct')['command']
    assert command['metrics']['frames_reconstructed'] == command['frames']
    training = by_name(dry, 'training')['training']
    assert training['finite'] and training['iterations'] == 4


def test_a_part_that_hangs_or_dies_loses_only_itself(tmp_path, monkeypatch):
    part = tmp_path / 'gpu_parts.py'
    part.write_text('''
import json, os, subprocess, sys, time
name, path = sys.argv[1], sys.argv[3]
with open(path, 'a') as file:
    print(json.dumps(dict(part=name, name='first', value=1)), file=file)
    file.write('{"part": "half')
    file.flush()
    print('', file=file)
if name == 'data':
    subprocess.Popen(['sleep', '60'])
    time.sleep(60)
if name == 'tests':
    os._exit(3)
''')
    monkeypatch.setattr(gpu_check, 'HERE', tmp_path)
    monkeypatch.setattr(gpu_check, 'PARTS', dict.fromkeys(
        ('tests', 'data', 'steps'), gpu_check.Limit(0, 0, 8)))
    monkeypatch.setattr(gpu_check, 'TOTAL', gpu_check.Limit(0, 0, 60))
    start = time.perf_counter()
    report = gpu_check.check(
        tmp_path / 'out', ['tests', 'data', 'steps'], 'dry')
    assert time.perf_counter() - start < 45
    parts = report['parts']
    assert [part['status'] for part in parts.values()] == [
        'failed', 'out of time', 'done']
    assert 'ended with 3' in parts['tests']['error']
    assert all(part['records'] == [dict(name='first', value=1)]
               for part in parts.values())


def test_what_time_does_not_reach_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, 'TOTAL', gpu_check.Limit(0, 0, 0))
    report = gpu_check.check(tmp_path, ['training'], 'dry')
    assert report['parts']['training'] == dict(
        status='not reached', records=[])


def test_without_a_gpu_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    report = gpu_check.main(['--out', str(tmp_path)])
    assert '--dry-run' in report['error']
    assert report['error'].count('. ') == 0
    assert '--dry-run' in capsys.readouterr().out
    assert json.loads((tmp_path / 'gpu_check.json').read_text()) == report


def test_errors_become_one_sentence(tmp_path):
    check = gpu_parts.Check('steps', tmp_path / 'records', 9, True)
    for error in (torch.OutOfMemoryError('CUDA out of memory. Tried ...'),
                  RuntimeError('Failed to find C compiler. Please specify'),
                  RuntimeError('no kernel image is available'),
                  ZeroDivisionError()):
        with check.attempt('what'):
            raise error
    texts = [json.loads(line)['error']
             for line in (tmp_path / 'records').read_text().splitlines()]
    assert texts == [
        'The GPU has not enough memory for this.',
        'Triton finds no C compiler; install gcc or set CC.',
        'The driver is too old for this PyTorch or Triton: no kernel image '
        'is available', 'ZeroDivisionError: ZeroDivisionError']


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
        dict(name='last', left_out='no time was left')]
    gpu_report.write_page(page, report)
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('-->\nafter\n')
    assert 'old' not in text and '2020-02-03, A card (140 GiB)' in text
    for words in ('triton, 1 x 12', 'temporal_deca detail, bf16',
                  'pictures by ClipRenderer', 'frames a minute',
                  '* steps, large: The GPU has / not enough.',
                  '* steps, last: no time was left'):
        assert words in text, words
    assert json.loads((tmp_path / 'gpu_check.json').read_text()) == report
    page.write_text('no marks')
    with pytest.raises(ValueError, match='must have the lines'):
        gpu_report.write_page(page, report)


def test_the_page_of_the_project_has_its_marks():
    text = gpu_check.PAGE.read_text()
    assert text.count(gpu_report.BEGIN) == text.count(gpu_report.END) == 1
