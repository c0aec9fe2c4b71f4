# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Metrics that look at whole clips, and what is drawn of them."""
import math

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import ToyFlame
from mmengine.evaluator import Evaluator

from mmtvface.evaluation.charts import (
    Chart,
    cumulative_curve,
    markdown_table,
    save_charts,
)
from mmtvface.evaluation.functional import (
    bin_index,
    bin_names,
    box_area_root,
    head_yaw,
    identity_drift,
    join_windows,
    mean_by_position,
)
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.registry import METRICS
from mmtvface.structures import FaceClipSample


def landmark_sample(errors, yaw=None, **meta):
    """One frame per error, in percent of a box of 2 x 0.5."""
    frames = len(errors)
    ndc = torch.zeros(frames, 68, 2)
    ndc[:, 0] = torch.tensor([-1., -.25])
    ndc[:, 1] = torch.tensor([1., .25])
    sample = FaceClipSample(metainfo=dict(
        frame_indices=list(range(frames))) | meta)
    if yaw is not None:
        sample.set_metainfo(dict(yaw=np.array(yaw, float)))
    visible = torch.ones(frames, 68, 1)
    shift = torch.tensor(errors).nan_to_num()[:, None] / 100
    visible[torch.tensor(errors).isnan()] = 0
    sample.gt_landmarks = torch.cat([ndc, visible], -1)
    sample.pred_landmarks2d = ndc + torch.stack(
        [shift, torch.zeros_like(shift)], -1)
    sample.pred_codes = dict(pose=torch.zeros(frames, 6))
    return sample


def evaluate(metric, *samples):
    evaluator = Evaluator([METRICS.build(metric)])
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples)), evaluator.metrics[0]


def binned(**options):
    return dict(type='LandmarkNME', normalizer='box_area',
                yaw_bins=(0, 30, 60, 90)) | options


def test_the_root_of_the_box():
    points = torch.tensor([[[0., 0], [8, 2], [50, 50]]])
    assert box_area_root(points[:, :2]).tolist() == [4]
    seen = torch.tensor([[True, True, False]])
    assert box_area_root(points, seen).tolist() == [4]
    assert box_area_root(points, ~seen | False)[0] == 0
    assert box_area_root(points, seen & False).isnan().all()


def test_yaw_of_rotations():
    turn = math.radians(50)
    vectors = torch.tensor([[0., turn, 0], [0, -turn, 0], [.3, 0, 0],
                            [0, 0, 1.]])
    torch.testing.assert_close(
        head_yaw(axis_angle_to_matrix(vectors)),
        torch.tensor([50., -50, 0, 0]), atol=1e-4, rtol=0)


def test_edges_of_bins():
    yaw = torch.tensor([0., 30, 30.01, -60, 61, -90, 120, math.nan])
    assert bin_index(yaw, (0, 30, 60, 90)).tolist() == [
        0, 0, 1, 1, 2, 2, 2, -1]
    assert bin_index(torch.tensor([5., 10, 20]), (10, 30)).tolist() == [
        -1, 0, 0]
    assert bin_names((0, 30, 60.5)) == ['0_30', '30_60.5']
    for edges in ((0, ), (0, 30, 30)):
        with pytest.raises(ValueError, match='increasing edges'):
            bin_names(edges)


def test_errors_by_true_yaw():
    """Box 2 x 0.5: its root is 1."""
    result, metric = evaluate(
        binned(), landmark_sample([1.], [10]), landmark_sample([2.], [-20]),
        landmark_sample([4.], [-45]), landmark_sample([9.], [95]),
        landmark_sample([7.], [math.nan]))
    assert result['landmark/nme'] == pytest.approx(23 / 5)
    assert result['landmark/nme_yaw_0_30'] == pytest.approx(1.5)
    assert result['landmark/nme_yaw_0_30_frames'] == 2
    assert result['landmark/nme_yaw_30_60'] == pytest.approx(4)
    assert result['landmark/nme_yaw_60_90'] == pytest.approx(9)
    assert result['landmark/nme_balanced'] == pytest.approx(14.5 / 3)
    bars = next(c for c in metric.charts() if c.name == 'nme_yaw').bars
    assert list(bars) == ['all frames', '0 to 30', '30 to 60', '60 to 90',
                          'balanced']
    assert bars['balanced'] == pytest.approx(14.5 / 3)
    some, _ = evaluate(binned(), landmark_sample([1.], [10]))
    assert math.isnan(some['landmark/nme_balanced'])


def test_errors_by_predicted_yaw():
    sample = landmark_sample([1., 2.], yaw=[80, 80])
    sample.pred_codes['pose'][1, 1] = math.radians(-40)
    result, _ = evaluate(binned(yaw_source='prediction'), sample)
    assert result['landmark/nme_yaw_0_30'] == pytest.approx(1)
    assert result['landmark/nme_yaw_30_60'] == pytest.approx(2)
    result, _ = evaluate(binned(), sample)
    assert result['landmark/nme_yaw_60_90_frames'] == 2
    with pytest.raises(ValueError, match="sample 'x' has no 'yaw'"):
        evaluate(binned(yaw_source='truth'),
                 landmark_sample([1.], clip_id='x'))
    with pytest.raises(ValueError, match="yaw_source .*'guess'"):
        METRICS.build(binned(yaw_source='guess'))


def test_means_by_position():
    nan = math.nan
    places, means = mean_by_position(
        [np.array([0, 1, 2]), np.array([2, 5])],
        [np.array([1., nan, 3]), np.array([5., 7])])
    assert places.tolist() == [0, 2, 5] and means.tolist() == [1, 4, 7]
    clips = join_windows(
        ['a', 'b', 'a'], [np.array([0, 1]), np.array([9]), np.array([1, 2])],
        [np.array([1., 2]), np.array([3.]), np.array([nan, nan])])
    assert clips['a'][0].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(clips['a'][1], [1, 2, nan])
    assert clips['b'][1].tolist() == [3]


def test_the_error_over_time():
    windows = [
        landmark_sample([1., 2.], clip_id='a', frame_indices=[0, 1]),
        # The end of the clip: a frame that was seen before is hidden.
        landmark_sample([math.nan, 6.], clip_id='a', frame_indices=[1, 2]),
        landmark_sample([3., 5.], clip_id='b', frame_indices=[0, 1])]
    _, metric = evaluate(dict(type='LandmarkNME', normalizer='box_area'),
                         *windows)
    charts = {chart.name: chart for chart in metric.charts()}
    assert set(charts) == {'nme_cumulative', 'nme_in_window',
                           'nme_over_time'}
    over_time = charts['nme_over_time']
    assert over_time.x_label == 'frame'
    np.testing.assert_allclose(over_time.lines['a'], [[0, 1, 2], [1, 2, 6]],
                               rtol=1e-5)
    place, = charts['nme_in_window'].lines.values()
    np.testing.assert_allclose(place, [[0, 1], [2, 13 / 3]], rtol=1e-5)
    for window in windows:
        window.set_metainfo(dict(fps=25.))
    _, metric = evaluate(dict(type='LandmarkNME'), *windows)
    line = metric.charts()[-1].lines['a']
    np.testing.assert_allclose(line[0], [0, .04, .08])


def test_many_clips_are_drawn_together():
    clips = [landmark_sample([float(i), 10.], clip_id=f'c{i}', fps=25)
             for i in range(1, 12)]
    _, metric = evaluate(dict(type='LandmarkNME', normalizer='box_area'),
                         *clips)
    lines = metric.charts()[-1].lines
    assert list(lines) == ['mean of 11 clips', 'median of 11 clips',
                           '90th percentile of 11 clips']
    np.testing.assert_allclose(lines['mean of 11 clips'],
                               [[0, .04], [6, 10]], rtol=1e-5)
    assert lines['90th percentile of 11 clips'][1][0] == pytest.approx(10)


def test_single_images_have_no_time():
    _, metric = evaluate(dict(type='LandmarkNME'), landmark_sample([1.]),
                         landmark_sample([3.]))
    assert [chart.name for chart in metric.charts()] == ['nme_cumulative']
    assert METRICS.build(dict(type='LandmarkNME')).charts() == []


def shape_sample(codes, flame, **meta):
    sample = FaceClipSample(metainfo=dict(
        frame_indices=list(range(len(codes)))) | meta)
    codes = torch.tensor(codes)
    zeros = torch.zeros(len(codes), 6)
    sample.pred_codes = dict(shape=codes, exp=zeros[:, :3], pose=zeros)
    sample.pred_vertices = flame(codes, zeros[:, :3], zeros).vertices
    return sample


def test_identity_drifts_between_windows_too():
    """Each window is constant, but they differ: only whole clips tell."""
    flame = ToyFlame()
    first, second = [1., 0, 0, 0], [3., 0, 0, 0]
    windows = [
        shape_sample([first] * 2, flame, clip_id='a', frame_indices=[0, 1]),
        shape_sample([second] * 2, flame, clip_id='a', frame_indices=[2, 3]),
        shape_sample([first] * 3, flame, clip_id='b')]
    constancy, _ = evaluate(dict(type='ShapeConstancy'), *windows)
    assert constancy['shape/spread'] == 0
    result, metric = evaluate(
        dict(type='IdentityDrift', flame=dict(type='ToyFlame')), *windows)
    # One unit of the first component away from the mean, in all frames of a.
    unit = 1000 * flame.basis[0].view(-1, 3).norm(dim=1).mean().item()
    assert result['identity/drift_mm'] == pytest.approx(unit / 2, rel=1e-4)
    assert result['identity/drift_mm_worst'] == pytest.approx(unit, rel=1e-4)
    assert result['identity/code_spread'] == pytest.approx(25)
    assert result['identity/code_spread_worst'] == pytest.approx(50)
    assert result['identity/clips'] == 2
    chart, = metric.charts()
    assert chart.lines['a'][0].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(chart.lines['a'][1], unit, rtol=1e-4)


def test_drift_of_bad_and_single_frames():
    flame = ToyFlame()
    config = dict(type='IdentityDrift', flame=dict(type='ToyFlame'))
    bad = shape_sample([[1., 0, 0, 0], [math.nan] * 4, [1., 0, 0, 0]], flame)
    result, _ = evaluate(config, bad)
    assert result['identity/drift_mm'] == pytest.approx(0, abs=1e-4)
    assert result['identity/frames_skipped'] == 1
    result, metric = evaluate(config, shape_sample([[1., 0, 0, 0]], flame))
    assert math.isnan(result['identity/drift_mm'])
    assert result['identity/clips'] == 0 and metric.charts() == []
    codes = torch.randn(150, 4, generator=torch.Generator().manual_seed(0))
    every = identity_drift(flame, codes)  # in several chunks
    heads = flame(codes, codes[:, :3] * 0, codes.new_zeros(150, 6)).vertices
    torch.testing.assert_close(
        every, 1000 * (heads - heads.mean(0)).norm(dim=-1).mean(1),
        rtol=1e-4, atol=1e-5)


def test_another_head_model_is_refused():
    sample = shape_sample([[1., 0, 0, 0]] * 2, ToyFlame())
    with pytest.raises(ValueError, match='have 144 vertices, the head'):
        evaluate(dict(type='IdentityDrift'), sample)
    sample.pred_vertices = sample.pred_vertices + .002
    with pytest.raises(ValueError, match='by 2 mm'):
        evaluate(dict(type='IdentityDrift', flame=dict(type='ToyFlame')),
                 sample)


def test_neutral_meshes_are_exported(tmp_path):
    flame = ToyFlame()
    samples = [shape_sample([[1., 2, 0, 0]], flame, clip_id='p/selfie/one'),
               shape_sample([[1., 2, 0, 0]], flame, clip_id='p/selfie/two',
                            readable=False),
               shape_sample([[math.nan] * 4], flame, clip_id='p/x/three')]
    samples[0].pred_codes['pose'][:, 1] = .5
    samples[0].pred_vertices = flame(*(
        samples[0].pred_codes[name] for name in ('shape', 'exp', 'pose'))
                                     ).vertices
    result, _ = evaluate(
        dict(type='NeutralMeshExport', out_dir=str(tmp_path),
             flame=dict(type='ToyFlame')), *samples)
    assert result == {'now/exported': 1, 'now/skipped': 2}
    folder = tmp_path / 'predicted_meshes' / 'p'
    assert sorted(p.name for p in folder.rglob('*.*')) == ['one.npy',
                                                           'one.obj']
    neutral = flame(torch.tensor([[1., 2, 0, 0]]), torch.zeros(1, 3),
                    torch.zeros(1, 6)).vertices[0]
    np.testing.assert_allclose(
        np.load(folder / 'selfie' / 'one.npy'),
        neutral[[36, 39, 42, 45, 33, 48, 54]], atol=1e-6)


def test_cumulative_curve_by_hand():
    x, y = cumulative_curve(np.array([1., 2, 2, 3]), 4, 5)
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert y.tolist() == [0, 25, 75, 100, 100]
    with pytest.raises(ValueError, match='at least one'):
        cumulative_curve(np.zeros(0))


def test_charts_become_pictures(tmp_path):
    x = np.arange(5.)
    charts = [Chart('a/b', 'Lines', 'x', 'y',
                    {'one': (x, x), 'two': (x, np.full(5, np.nan))}),
              Chart('bars', 'Bars', 'x', 'y', bars=dict(a=1., b=np.nan))]
    files = save_charts(charts, tmp_path)
    assert [file.name for file in files] == ['a_b.png', 'bars.png']
    for file in files:
        picture = cv2.imread(str(file))
        assert min(picture.shape[:2]) > 400
        # Something in the colour of the first line.
        assert (np.abs(picture.astype(int) - (178, 114, 0)).max(-1) < 40
                ).sum() > 200
    assert charts[0].plain()['lines']['two']['y'] == [None] * 5
    assert charts[1].plain()['bars'] == dict(a=1, b=None)


def test_markdown():
    text = markdown_table(('name', 'n'), [('a|b', '12.5')])
    assert text == ('| name |    n |\n|:-----|-----:|\n| a\\|b | 12.5 |\n')
    with pytest.raises(ValueError, match='2 cells'):
        markdown_table(('name', 'n'), [('a', )])
