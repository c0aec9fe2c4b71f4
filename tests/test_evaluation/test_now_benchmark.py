# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Folders of predictions against folders of scans."""
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.fake_benchmarks import (
    NOW_PLACES,
    bumpy_face,
    fake_scan,
    write_picked_points,
)

from mmtvface.evaluation.now import (
    Protocol,
    error_chart,
    find_predictions,
    measure_method,
    read_image_list,
    read_scan_landmarks,
    summarise,
)
from mmtvface.evaluation.now.benchmark import load_scan
from mmtvface.evaluation.now.export import export_prediction, is_exported
from mmtvface.io.mesh import write_obj, write_ply

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
KEYS = ('one/selfie/IMG_1', 'one/neutral/IMG_2', 'two/neutral/IMG_3')


@pytest.fixture(autouse=True)
def fresh_scans():
    load_scan.cache_clear()


@pytest.fixture
def now(tmp_path):
    """Scans of two people that differ from the mesh by 1 and 2 mm in z.

    Without refinement and with exact landmarks, these are the distances of a
    plane, up to its slope.
    """
    vertices, faces = bumpy_face(40, (0., 0., 0.))
    for subject, offset in (('one', 1.), ('two', 2.)):
        fake_scan(tmp_path, subject, vertices + [0, 0, offset], faces,
                  NOW_PLACES)
    for key in KEYS:
        export_prediction(tmp_path / 'meshes', key, vertices / 1000, faces,
                          NOW_PLACES / 1000)
    return tmp_path


def measure(now, predictions=None, scans='scans',
            landmarks='scans_lmks_onlypp', **protocol):
    if predictions is None:
        predictions = find_predictions(now / 'meshes')
    return measure_method('ours', predictions, now / scans, now / landmarks,
                          Protocol(refine=False, **protocol))


def test_results_of_known_distances(now):
    result = summarise(measure(now))
    assert result['complete'] and result['images'] == 3
    # Two images of the first scan and one of the second, as many points.
    assert result['mean_mm'] == pytest.approx(4 / 3, rel=1e-4)
    assert result['median_mm'] == pytest.approx(1, rel=1e-4)
    assert result['std_mm'] == pytest.approx(math.sqrt(2) / 3, rel=1e-3)
    assert result['challenges']['neutral']['mean_mm'] == pytest.approx(
        1.5, rel=1e-4)
    assert result['challenges']['selfie']['images'] == 1
    one = result['per_image'][KEYS[0]]
    assert one['mean_mm'] == pytest.approx(1, rel=1e-4)
    assert one['landmark_mm'] == pytest.approx(0, abs=1e-4)
    assert result['points'] == 3 * one['points'] > 1000


def test_size_counts_without_a_scale(now):
    vertices, faces = bumpy_face(40, (0., 0., 0.))
    export_prediction(now / 'large', 'one/selfie/IMG_1', vertices * .0011,
                      faces, NOW_PLACES * .0011)
    large = find_predictions(now / 'large')
    scaled = summarise(measure(now, large))
    assert scaled['mean_mm'] == pytest.approx(1, rel=1e-4)
    rigid = measure(now, large, with_scale=False)
    assert rigid.images[0].landmark_mm > 3
    # The prediction is in metres, not in millimetres.
    wrong = measure(now, large, with_scale=False, prediction_unit='mm')
    assert 'the unit is another one' in wrong.skipped[0].reason
    assert 'scan_unit' in measure(now, scan_unit='cm').skipped[0].reason


def test_broken_predictions_are_skipped_and_reported(now):
    meshes = now / 'meshes'
    text = (meshes / f'{KEYS[0]}.obj').read_text().split('\n', 1)[1]
    (meshes / f'{KEYS[0]}.obj').write_text('v nan 0 0\n' + text)
    np.save(meshes / f'{KEYS[1]}.npy', NOW_PLACES[:6])
    result = summarise(measure(now))
    assert result['images'] == 1 and not result['complete']
    assert 'not finite' in result['skipped'][KEYS[0]]
    assert '(6, 3)' in result['skipped'][KEYS[1]]
    (meshes / f'{KEYS[2]}.npy').unlink()
    empty = measure(now)
    assert 'no landmarks' in summarise(empty)['skipped'][KEYS[2]]
    assert summarise(empty)['median_mm'] is None
    assert error_chart([empty]) is None


def test_listed_images_must_be_there(now):
    listing = now / 'list.txt'
    listing.write_text('one/selfie/IMG_1.jpg\n\nthree/selfie/IMG_9.jpg\n'
                       'one/neutral/IMG_77.jpg\n')
    found = find_predictions(now / 'meshes', read_image_list(listing))
    skipped = summarise(measure(now, found))['skipped']
    assert "No scan of 'three'" in skipped['three/selfie/IMG_9']
    assert 'no mesh' in skipped['one/neutral/IMG_77'] and len(skipped) == 2
    listing.write_text('\n')
    with pytest.raises(ValueError, match='list.txt is empty'):
        read_image_list(listing)
    with pytest.raises(FileNotFoundError, match='imagepathsvalidation'):
        read_image_list(now / 'none.txt')


def test_scans_and_landmarks_in_other_places(now):
    vertices, faces = bumpy_face(40, (0., 0., 0.))
    write_ply(now / 'flat' / 'one.ply', vertices, faces)
    np.save(now / 'flat' / 'one.npy', NOW_PLACES)
    result = measure(now, find_predictions(now / 'meshes')[:1], 'flat', 'flat')
    # The vertices of PLY are stored in single precision.
    assert result.images[0].distances.max() < 1e-4
    fake_scan(now, 'one', vertices, faces, NOW_PLACES)
    write_picked_points(now / 'scans_lmks_onlypp' / 'one.pp', NOW_PLACES)
    reason = measure(now).images[0].reason
    assert "'one' has 2 files that may be its file of landmarks" in reason


def test_wrong_folders_are_explained(now):
    with pytest.raises(FileNotFoundError, match='no folder of scans'):
        measure(now, scans='nowhere')
    with pytest.raises(FileNotFoundError, match='no folder of predictions'):
        find_predictions(now / 'nowhere')
    (now / 'bare').mkdir()
    with pytest.raises(FileNotFoundError, match='found nothing'):
        find_predictions(now / 'bare')
    with pytest.raises(ValueError, match="scan_unit .*'inch'"):
        Protocol(scan_unit='inch')


def test_an_export_is_complete_or_not_there(tmp_path):
    vertices, faces = bumpy_face(10)
    with pytest.raises(ValueError, match='not finite'):
        export_prediction(tmp_path, 'a/b/c', vertices * np.nan, faces,
                          NOW_PLACES)
    assert not is_exported(tmp_path, 'a/b/c')
    with pytest.raises(ValueError, match='subject/challenge/image'):
        export_prediction(tmp_path, '../c', vertices, faces, NOW_PLACES)
    export_prediction(tmp_path, 'a/b/c', vertices, faces, NOW_PLACES)
    assert is_exported(tmp_path, 'a/b/c')
    np.testing.assert_array_equal(np.load(tmp_path / 'a/b/c.npy'), NOW_PLACES)


def test_files_of_landmarks(tmp_path):
    path = tmp_path / 'points.pp'
    write_picked_points(path, NOW_PLACES)
    np.testing.assert_allclose(read_scan_landmarks(path), NOW_PLACES)
    path.write_text(path.read_text().replace('active="1" name="3"',
                                             'active="0" name="3"'))
    assert len(read_scan_landmarks(path)) == 6
    rows = '\n'.join('\t'.join(map(str, row)) for row in NOW_PLACES)
    (tmp_path / 'a.txt').write_text('# picked by hand\n' + rows + '\n')
    np.testing.assert_allclose(read_scan_landmarks(tmp_path / 'a.txt'),
                               NOW_PLACES)
    (tmp_path / 'a.bnd').write_text('\n'.join(
        f'{i} {row}' for i, row in enumerate(rows.split('\n'))))
    np.testing.assert_allclose(read_scan_landmarks(tmp_path / 'a.bnd'),
                               NOW_PLACES)


@pytest.mark.parametrize(('name', 'content', 'words'), [
    ('a.pp', '<PickedPoints><point x="1" y="2"/></PickedPoints>', "'z'"),
    ('a.pp', 'x', 'syntax error'),
    ('a.txt', '1 2\n', '2 numbers instead of 3'),
    ('a.txt', '1 2 three\n', 'three'),
    ('a.txt', '', r'the shape is \(0,\)'),
    ('a.txt', '1 2 nan\n', 'not finite'),
    ('a.npy', 'x', 'no landmarks that can be read'),
    ('a.xyz', '1 2 3', "'.xyz' files"),
])
def test_broken_files_of_landmarks(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words) as error:
        read_scan_landmarks(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_a_damaged_array_is_no_landmarks(tmp_path):
    """NumPy reads the header as Python, whose tokenizer has own errors."""
    path = tmp_path / 'a.npy'
    np.save(path, NOW_PLACES)
    path.write_bytes(path.read_bytes().replace(b'(7, 3), }', b'(7, 3(, }'))
    with pytest.raises(ValueError, match='no landmarks that can be read'):
        read_scan_landmarks(path)


def test_landmarks_of_predictions_may_be_text(now):
    """The benchmark takes both; other methods are compared as they are."""
    path = now / 'meshes' / f'{KEYS[0]}.npy'
    np.savetxt(path.with_suffix('.txt'), np.load(path))
    path.unlink()
    result = summarise(measure(now))
    assert result['complete']
    assert result['per_image'][KEYS[0]]['mean_mm'] == pytest.approx(
        1, rel=1e-4)


def tool():
    spec = importlib.util.spec_from_file_location(
        'now_evaluate', TOOLS / 'now_evaluate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_compares_methods(now, capsys):
    vertices, faces = bumpy_face(40, (0., 0., 0.))
    for key in KEYS[:2]:
        export_prediction(now / 'exact', key, (vertices + [0, 0, 1]) / 1000,
                          faces, NOW_PLACES / 1000)
    listing = now / 'list.txt'
    listing.write_text('\n'.join(f'{key}.jpg' for key in KEYS))
    code = tool().main([
        str(now / 'meshes'), str(now / 'scans'), '--landmarks',
        str(now / 'scans_lmks_onlypp'), '--out', str(now / 'out'),
        '--no-refine', '--compare', f'exact={now / "exact"}', '--list',
        str(listing), '--name', 'ours', '--workers', '1'])
    printed = capsys.readouterr().out
    assert code == 0 and 'exact: 1 of 3 skipped' in printed
    methods = json.loads((now / 'out' / 'metrics.json').read_text())['methods']
    assert methods['ours']['median_mm'] == pytest.approx(1, rel=1e-4)
    assert methods['exact']['mean_mm'] == pytest.approx(0, abs=1e-4)
    assert methods['exact']['complete'] is False
    table = (now / 'out' / 'table.md').read_text()
    assert '| 1.333 |' in table and '| selfie' in table.replace('   ', '')
    chart = json.loads((now / 'out' / 'curves.json').read_text())[0]
    ours = next(line for label, line in chart['lines'].items()
                if label.startswith('ours'))
    # One third of the points is 2 mm away, the others 1 mm.
    assert np.interp(1.5, ours['x'], ours['y']) == pytest.approx(200 / 3)
    assert cv2.imread(str(now / 'out' / 'cumulative_error.png')).std() > 10


def test_the_command_takes_the_folder_of_the_export(now, capsys):
    (now / 'mine').mkdir()
    (now / 'meshes').rename(now / 'mine' / 'predicted_meshes')
    for folder in ('mine', 'mine/predicted_meshes'):
        assert tool().main([
            str(now / folder), str(now / 'scans'), '--landmarks',
            str(now / 'scans_lmks_onlypp'), '--out', str(now / 'out'),
            '--no-refine']) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert any(row[:6] == '| mine | all | 3'.split() for row in rows)


def test_alignments_without_rest_are_told(now, capsys):
    """Left and right are exchanged, as if the face looked backwards."""
    np.save(now / 'meshes' / f'{KEYS[0]}.npy',
            NOW_PLACES[[3, 2, 1, 0, 4, 6, 5]] / 1000)
    (now / 'meshes' / f'{KEYS[2]}.obj').unlink()
    vertices, faces = bumpy_face(25)
    for key in KEYS[:2]:
        write_obj(now / 'meshes' / f'{key}.obj', vertices / 1000, faces)
    fake_scan(now, 'one', vertices, faces, NOW_PLACES)
    assert tool().main([
        str(now / 'meshes'), str(now / 'scans'), '--landmarks',
        str(now / 'scans_lmks_onlypp'), '--out', str(now / 'out')]) == 0
    assert f'1 alignments did not come to rest, such as {KEYS[0]}' in (
        capsys.readouterr().out)
    images = json.loads((now / 'out' / 'metrics.json').read_text())[
        'methods']['meshes']['per_image']
    assert [images[key]['converged'] for key in KEYS[:2]] == [False, True]
    assert images[KEYS[1]]['mean_mm'] < .01 < images[KEYS[0]]['mean_mm']


def test_the_command_explains_errors(now, capsys):
    out = ['--out', str(now / 'out')]
    assert tool().main([str(now / 'no'), str(now / 'scans'), *out]) == 2
    assert 'no folder of predictions' in capsys.readouterr().err
    # The landmarks are not beside the scans: nothing can be measured.
    assert tool().main([str(now / 'meshes'), str(now / 'scans'), *out]) == 1
    assert '3 of 3 skipped' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tool().main([str(now / 'meshes'), str(now / 'scans'), *out,
                     '--compare', 'dir'])
    assert 'NAME=DIR' in capsys.readouterr().err
