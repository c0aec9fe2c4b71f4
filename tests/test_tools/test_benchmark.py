# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import time

import numpy as np
import pytest
import torch

from mmtvface.benchmarks.speed import baselines, benchmark, cases, report


def naps(sleep=time.sleep):
    return [
        cases.Case('short', lambda: sleep(0.01), 'long'),
        cases.Case('long', lambda: sleep(0.03)),
    ]


def test_ratio_is_baseline_over_case(monkeypatch):
    now = [5.]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(cases.time, 'perf_counter', lambda: now[0])
    short, long = cases.measure(naps(sleep), repeats=3, budget=60)
    assert short['rounds'] == long['rounds'] == 3
    assert [short[f'{name}_ms'] for name in ('min', 'median', 'max')] == (
        pytest.approx([10] * 3))
    assert short['baseline'] == 'long' and short['ratio'] == pytest.approx(3)
    assert long['ratio'] is None


def test_budget_ends_the_rounds():
    rows = cases.measure(naps(), repeats=50, budget=0)
    assert [row['rounds'] for row in rows] == [2, 2]


def test_report_and_skipped_sections(tmp_path, monkeypatch, capsys):

    def lacking():
        raise ImportError('the package snow is missing')

    monkeypatch.setattr(benchmark, 'SECTIONS',
                        dict(naps=naps, lacking=lacking))
    path = tmp_path / 'new' / 'report.json'
    benchmark.main(['--repeats', '1', '--out', str(path)])
    written = json.loads(path.read_text())
    assert [row['name'] for row in written['sections']['naps']['rows']] == [
        'short', 'long']
    assert written['sections']['lacking']['skipped'] == (
        'the package snow is missing')
    assert written['environment']['torch'] == torch.__version__
    printed = capsys.readouterr().out
    assert 'snow is missing' in printed and 'short' in printed


def test_table_of_the_readme():
    rows = [
        dict(name='ours', median_ms=1.25, baseline='naive', ratio=4.2),
        dict(name='naive', median_ms=5.4, baseline=None, ratio=None),
        dict(name='step', median_ms=7., baseline=None, ratio=None,
             peak_gib=2.34),
    ]
    table = benchmark.markdown(dict(sections=dict(
        a=dict(rows=rows), b=dict(skipped='no reason')))).splitlines()
    assert table[2:] == [
        '| ours | 1.2 | naive: 5 | 4.2 |  |  |  |',
        '| step | 7.0 |  |  | 2.3 GiB |  |  |']


@pytest.mark.parametrize(('name', 'ms', 'gib', 'expected'), [
    ('FLAME, 40 heads', 4.9, None, ('≤ 5 ms', 'yes')),
    ('FLAME, 40 heads', 5.1, None, ('≤ 5 ms', 'no')),
    ('FLAME, 40 heads of cats', 5.1, None, ('', '')),
    ('deformable op, 128 channels of 112', 60, None, ('≤ 70 ms', 'yes')),
    ('deformable op + backward', 60, None, ('', '')),
    # 3.4 GiB are 3.65 GB; 3.5 are 3.76
    ('temporal coarse step, 1 clip', 31e3, 3.4,
     ('≤ 30000 ms, ≤ 3.66667 GB', 'no, yes')),
    ('temporal coarse step, 1 clip', 29e3, 3.5,
     ('≤ 30000 ms, ≤ 3.66667 GB', 'yes, no')),
    ('clips from folders, two workers', 2.4, None,
     ('≥ 400 frames/s', 'yes')),
    ('clips from folders, two workers', 2.6, None,
     ('≥ 400 frames/s', 'no')),
])
def test_goals(name, ms, gib, expected):
    row = dict(name=name, median_ms=ms)
    if gib:
        row['peak_gib'] = gib
    assert report.goal_cells(row) == expected


def test_readme_shows_the_results(tmp_path):
    copy = tmp_path / 'README.md'
    original = benchmark.PAGE.read_text()
    copy.write_text(original)
    report.renew_page(copy, benchmark.RESULTS)
    assert copy.read_text() == original, (
        'run benchmark.py --only-docs')
    start, end = report.MARKERS
    copy.write_text(f'a\n{start}\nold\n{end}\nb\n')
    report.renew_page(copy, benchmark.RESULTS)
    table = benchmark.markdown(json.loads(benchmark.RESULTS.read_text()))
    assert copy.read_text() == f'a\n{start}\n{table}{end}\nb\n'


def test_readme_without_a_place_or_results(tmp_path):
    readme = tmp_path / 'README.md'
    start, end = report.MARKERS
    for text in ('', f'{end}{start}', f'{start}{start}{end}'):
        readme.write_text(text)
        with pytest.raises(ValueError, match='README.md must hold'):
            report.renew_page(readme, benchmark.RESULTS)
    with pytest.raises(FileNotFoundError, match=r'--docs'):
        report.renew_page(readme, tmp_path / 'none.json')


def test_wrong_numbers_are_not_timed():
    cases.check_same('x', torch.ones(2), torch.ones(2) + 1e-7, 1e-6)
    for wrong in (2., torch.nan):
        with pytest.raises(RuntimeError, match='x: the baseline differs'):
            cases.check_same('x', torch.ones(2),
                                 torch.tensor([1., wrong]), 1e-6)


def test_bad_arguments_are_refused(capsys):
    for arguments in (['--sections', 'nothing'], ['--repeats', '0']):
        with pytest.raises(SystemExit):
            benchmark.main(arguments)
    assert '--repeats must be positive' in capsys.readouterr().err


def test_naive_rasterizer_by_hand():
    vertices = np.array([[-0.8, -0.8, 1], [0.4, -0.8, 1], [-0.8, 0.4, 1],
                         [-5, -5, 2], [5, -5, 2], [0, 9, 2]])
    index = baselines.naive_rasterize(
        vertices, np.array([[0, 1, 2], [3, 5, 4]]), 4)
    assert index.tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1],
                              [1, 1, 1, 1]]


def test_naive_clip_reads_what_was_written(tmp_path):
    baselines.write_clip(tmp_path / 'clip', frames=2, side=512)
    crops = baselines.naive_clip(tmp_path / 'clip')
    assert len(crops) == 2 and crops[0].shape == (224, 224, 4)
    assert (crops[0][..., 3] == 1).all()
    assert 0 <= crops[0].min() and crops[0].std() > 0.05
