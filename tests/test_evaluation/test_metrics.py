# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch
from mmengine.evaluator import Evaluator

from mmtvface.evaluation.metrics.clip_metric import image_points
from mmtvface.registry import METRICS
from mmtvface.structures import FaceClipSample


def sample(error=0., frames=4, **meta):
    """Predictions that are off by ``error`` pixels of 100 in x."""
    torch.manual_seed(0)
    result = FaceClipSample(metainfo=dict(image_size=(100, 100)) | meta)
    ndc = torch.rand(1, 68, 2).repeat(frames, 1, 1) - 0.5
    ndc[:, 0], ndc[:, 1] = -0.5, 0.5  # box of 50 x 50 pixels
    result.gt_landmarks = torch.cat([ndc, torch.ones(frames, 68, 1)], -1)
    result.pred_landmarks2d = ndc + torch.tensor([error * 2 / 100, 0.])
    vertices = torch.rand(1, 20, 3).repeat(frames, 1, 1) * 0.1
    result.gt_vertices = vertices
    result.pred_vertices = vertices.clone()
    result.pred_codes = dict(shape=torch.ones(frames, 4))
    return result


def evaluate(metric, *samples):
    evaluator = Evaluator([METRICS.build(metric)])
    for item in samples:
        evaluator.process([item])
    return evaluator.evaluate(len(samples))


def test_nme_in_percent_of_the_box():
    result = evaluate(dict(type='LandmarkNME'), sample(1.), sample(2.))
    assert result['landmark/nme'] == pytest.approx(3., rel=1e-4)
    assert result['landmark/nme_worst'] == pytest.approx(4., rel=1e-4)
    assert result['landmark/nme_median'] == pytest.approx(3., rel=1e-4)
    assert set(result) == {
        'landmark/nme', 'landmark/nme_median', 'landmark/nme_worst'}


def test_nme_weighs_frames_and_reports_what_it_skips():
    partly = sample(2., frames=3)
    partly.gt_landmarks[1:, :, 2] = 0
    bare = sample(9., frames=2)
    del bare.gt_landmarks
    result = evaluate(dict(type='LandmarkNME'), sample(1.), partly, bare)
    assert result['landmark/nme'] == pytest.approx((4 * 2 + 4) / 5, rel=1e-4)
    assert result['landmark/nme_count'] == 5
    assert result['landmark/nme_skipped'] == 4
    nothing = evaluate(dict(type='LandmarkNME'), bare)
    assert math.isnan(nothing['landmark/nme'])
    assert nothing['landmark/nme_skipped'] == 2


def test_image_points_undo_the_crop_and_oblong_images():
    crop = torch.tensor([[2., 0., 10.], [0., 2., -4.], [0., 0., 1.]])
    item = dict(image_size=(50, 100), crop_matrices=crop[None].numpy())
    ndc = torch.tensor([[[-1 + 1 / 100, -1 + 1 / 50]]])  # first pixel
    assert torch.allclose(
        image_points(ndc, item),
        torch.tensor([[[-5., 2.]]], dtype=torch.float64), atol=1e-5)
    pixels = image_points(torch.zeros(1, 1, 2), dict(image_size=(50, 100)))
    assert pixels.tolist() == [[[49.5, 24.5]]]


def test_a_crop_that_follows_the_face_is_no_stillness():
    still = sample(frames=5)
    moving = torch.eye(3).repeat(5, 1, 1)
    moving[:, 0, 2] = torch.tensor([0., 1., 0., 1., 0.])
    still.set_metainfo(dict(crop_matrices=moving.numpy()))
    result = evaluate(dict(type='Jitter'), still)
    assert result['jitter/vertices_mm'] == 0
    assert result['jitter/landmarks'] == pytest.approx(100 * 2 / 50, rel=1e-4)
    assert result['jitter/landmarks_error'] == pytest.approx(0, abs=1e-6)
    assert result['jitter/landmarks_gt'] == pytest.approx(4, rel=1e-4)


def test_jitter_of_vertices_in_millimetres():
    item = sample(frames=3)
    item.pred_vertices[1, :, 0] += 0.001
    result = evaluate(dict(type='Jitter'), item)
    assert result['jitter/vertices_mm'] == pytest.approx(2., rel=1e-3)
    assert result['jitter/vertices_mm_gt'] == 0
    assert result['jitter/vertices_mm_error'] == pytest.approx(2., rel=1e-3)
    del item.gt_vertices, item.gt_landmarks
    result = evaluate(dict(type='Jitter'), item)
    assert set(result) == {'jitter/vertices_mm', 'jitter/landmarks'}
    short = evaluate(dict(type='Jitter'), sample(frames=2))
    assert math.isnan(short['jitter/vertices_mm'])


def test_vertex_error():
    shifted = sample()
    shifted.pred_vertices = shifted.pred_vertices + 0.5
    broken = sample(frames=2)
    broken.pred_vertices[0] = math.nan
    result = evaluate(dict(type='VertexError'), shifted, broken)
    assert result['vertex/error_mm'] == pytest.approx(0, abs=1e-4)
    assert result['vertex/error_mm_skipped'] == 1
    result = evaluate(dict(type='VertexError', align='none'), shifted)
    assert result['vertex/error_mm'] == pytest.approx(
        500 * math.sqrt(3), rel=1e-4)


def test_shape_constancy_in_percent():
    item = sample(frames=2)
    item.pred_codes = dict(shape=torch.tensor([[4., 4.], [2., 4.]]))
    result = evaluate(dict(type='ShapeConstancy'), item, sample())
    assert result['shape/spread'] == pytest.approx(10.)
    assert result['shape/spread_worst'] == pytest.approx(20.)


def test_padded_samples_of_the_last_batch_are_dropped():
    evaluator = Evaluator([METRICS.build(dict(type='LandmarkNME'))])
    evaluator.process([sample(1.), sample(3.)])
    evaluator.process([sample(2.), sample(50.)])  # the last is padding
    assert evaluator.evaluate(3)['landmark/nme'] == pytest.approx(4, rel=1e-4)
