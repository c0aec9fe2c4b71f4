# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import ToyFlame, toy_topology

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.renderers import MeshRenderer
from mmtvface.structures import FaceClipSample
from mmtvface.visualization.clip_picture import draw_clip, ndc_to_pixels3d
from mmtvface.visualization.overlay import (
    overlay_shape,
    pixels_to_ndc3d,
    shape_image,
)

VERTICES = ToyFlame().template.numpy()  # 0.2 m wide and high


@pytest.fixture
def renderer():
    return MeshRenderer(toy_topology(), image_size=32)


def in_frame(x, y, zoom=200.):
    return VERTICES * [zoom, -zoom, -zoom] + [x, y, 0.]


def test_ndc_of_corners_and_way_back():
    points = np.array([[-0.5, -0.5, 3.], [59.5, 29.5, -3.], [29.5, 14.5, 0]])
    ndc = pixels_to_ndc3d(points, (30, 60))
    np.testing.assert_allclose(
        ndc, [[-1, -1, .1], [1, 1, -.1], [0, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(ndc_to_pixels3d(ndc, (30, 60)), points,
                               atol=1e-5)


def test_overlay_covers_exactly_the_mesh(renderer):
    frame = np.full((90, 120, 3), 10, np.uint8)
    drawn = overlay_shape(renderer, frame, VERTICES, in_frame(70, 40))
    changed = (drawn != 10).any(2)
    rows, cols = np.nonzero(changed)
    # 40 x 40 pixels around (70, 40).
    assert (cols.min(), cols.max()) == (50, 90)
    assert (rows.min(), rows.max()) == (20, 60)
    assert (frame == 10).all()
    half = overlay_shape(renderer, frame, VERTICES, in_frame(70, 40),
                         opacity=0.5)
    middle = (drawn[40, 70].astype(float) + 10) / 2
    np.testing.assert_allclose(half[40, 70], middle, atol=1)


def test_rendering_a_part_equals_rendering_the_frame(renderer):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    points = in_frame(40.3, 30.6)
    drawn = overlay_shape(renderer, frame, VERTICES, points)
    whole = renderer.render_shape(
        torch.tensor(VERTICES)[None],
        torch.from_numpy(pixels_to_ndc3d(points, (64, 96)))[None],
        background=torch.from_numpy(frame).permute(2, 0, 1)[None] / 255)
    expected = (whole[0].permute(1, 2, 0) * 255).round().numpy()
    different = (np.abs(drawn - expected) > 1).any(2)
    assert different.mean() < 0.01  # pixels on the silhouette


@pytest.mark.parametrize('place', [(-15, 20), (110, 80), (60, -10)])
def test_meshes_beyond_the_edge(renderer, place):
    frame = np.full((90, 120, 3), 10, np.uint8)
    drawn = overlay_shape(renderer, frame, VERTICES, in_frame(*place))
    padded = overlay_shape(
        renderer, np.full((290, 320, 3), 10, np.uint8), VERTICES,
        in_frame(place[0] + 100, place[1] + 100))[100:190, 100:220]
    assert (drawn != 10).any()
    assert (np.abs(drawn.astype(int) - padded) > 1).any(2).mean() < 0.01
    gone = overlay_shape(renderer, frame, VERTICES, in_frame(-500, 20))
    np.testing.assert_array_equal(gone, frame)


def test_shape_alone_fills_its_picture(renderer):
    alone = shape_image(renderer, VERTICES, size=100, margin=1.25)
    rows, cols = np.nonzero((alone != 255).any(2))
    for values in (rows, cols):
        assert abs(values.min() - 10) <= 1 and abs(values.max() - 89) <= 1


def sample(frames=3):
    landmarks = torch.rand(frames, 68, 2) - 0.5
    made = FaceClipSample()
    made.gt_landmarks = torch.cat([landmarks, torch.ones(frames, 68, 1)], -1)
    made.pred_landmarks2d = landmarks
    made.pred_vertices = torch.from_numpy(VERTICES).expand(frames, -1, -1)
    made.pred_cam = torch.tensor([5., 0., 0.]).expand(frames, 3)
    return made


def test_clip_pictures(renderer):
    images = np.full((3, 32, 40, 3), 30, np.uint8)
    full = draw_clip(images, sample(), renderer)
    assert full.shape == (3 * 34 - 2, 3 * 42 - 2, 3)
    assert (full[:32, :40] == 30).all()
    assert (full[34:66, :40] != 30).any()
    # Scale 5 puts 0.2 m on half of the picture: columns 10 to 30.
    columns = np.nonzero((full[68:, :40] != 30).any((0, 2)))[0]
    expected = pixel_to_ndc(np.array([10., 30.]), 40)
    np.testing.assert_allclose(expected, [-0.475, 0.525])
    assert abs(columns.min() - 10) <= 1 and abs(columns.max() - 29) <= 1
    assert draw_clip(images, sample()).shape[0] == 2 * 34 - 2
    assert draw_clip(images, FaceClipSample()).shape[0] == 32
    assert draw_clip(images, sample(), max_frames=2).shape[1] == 2 * 42 - 2
