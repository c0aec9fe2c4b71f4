# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.datasets.synthetic import backgrounds, occluders
from mmtvface.datasets.synthetic.hair import hair_weight
from mmtvface.datasets.synthetic.performance import (
    PERFORMANCES,
    SPLITS,
    PerformanceConfig,
    draw_identity,
    draw_performance,
    plan_expressions,
)


def test_plan_from_names():
    plan = plan_expressions(
        ('jawOpen', 'smile_L', 'smile_R', 'eyeBlink_L', 'eyeBlink_R', '',
         'pout', 'residual_01', 'never'), 8)
    assert plan.jaw == (0, )
    assert plan.eyelids == (3, 4)
    assert plan.groups == ((1, 2), (6, ))
    assert plan_expressions((), 50).groups == ()


def test_identities_are_disjoint_and_stable():
    people = {(split, n): draw_identity(split, n, 20, 10)
              for split in SPLITS for n in range(30)}
    shapes = np.array([person.shape for person in people.values()])
    assert len({person.name for person in people.values()}) == 90
    distance = np.linalg.norm(shapes[:, None] - shapes[None], axis=-1)
    distance[np.diag_indices(90)] = np.inf
    assert distance.min() > 2  # no two are the same person
    assert shapes.std() == pytest.approx(1, abs=.06)
    again = draw_identity('val', 7, 30, 5)
    np.testing.assert_array_equal(again.shape[:20], people['val', 7].shape)
    with pytest.raises(ValueError, match='holdout'):
        draw_identity('holdout', 0, 1, 1)


def test_performance_follows_the_plan():
    plan = plan_expressions(
        ('jaw', 'smile_L', 'smile_R', 'eyeBlink_L', 'eyeBlink_R'), 12)
    config = PerformanceConfig(blink_rate=2., blink_strength=3.,
                               expression_strength=2.)
    acted = draw_performance(np.random.default_rng(1), 100, 12, plan, config)
    assert acted.exp.shape == (100, 12) and acted.light.shape == (100, 9, 3)
    assert (acted.exp[:, 0] == 0).all()  # the jaw joint opens the mouth
    np.testing.assert_array_equal(acted.exp[:, 3], acted.exp[:, 4])
    assert acted.exp[:, 3].max() > 2 and acted.exp[:, 3].min() >= 0
    assert (acted.exp[:, 1:3] >= 0).all() and acted.exp[:, 1:3].max() <= 2.5
    assert acted.pose[:, 3].min() >= 0
    assert acted.pose[:, 3].max() <= config.jaw_open


def test_lively_people_move_more():
    names = [f'{name}_{side}' for name in ('smile', 'eyeBlink', 'sneer')
             for side in 'LR']
    plan = plan_expressions(names, 6)
    spread = {name: np.std([np.concatenate([acted.exp, acted.pose], 1)
                            for acted in (draw_performance(
                                np.random.default_rng(seed), 50, 6, plan,
                                config) for seed in range(60))], (0, 1))
              for name, config in PERFORMANCES.items()}
    more = spread['lively'] > 1.15 * spread['talking']
    assert more[[2, 3, 6, 7, 8, 9]].all()  # eyelids, head, jaw
    assert PERFORMANCES['talking'] == PerformanceConfig()


def test_ranges_do_not_disturb_each_other():
    one = draw_performance(np.random.default_rng(3), 9, 5,
                           plan_expressions((), 5))
    two = draw_performance(np.random.default_rng(3), 9, 5,
                           plan_expressions((), 5),
                           PerformanceConfig(pose_scale=.1, talking=0.))
    np.testing.assert_array_equal(one.light, two.light)
    assert np.abs(two.pose[:, :3]).max() < np.abs(one.pose[:, :3]).max()


def test_hair_grows_above_and_behind_the_face():
    landmarks = np.zeros((68, 3))
    landmarks[17:27, 1] = .03
    landmarks[8] = (0, -.1, 0)
    vertices = np.array([[0, .11, -.06], [0, .02, -.16], [0, 0, .01],
                         [0, .04, 0], [0, -.1, .0]])
    style = np.full(16, .5)
    hair = hair_weight(vertices, landmarks, style)
    np.testing.assert_allclose(hair, [1, 1, 0, 0, 0], atol=.02)
    bald = style.copy()
    bald[3] = .05
    assert (hair_weight(vertices, landmarks, bald) == 0).all()
    scalp = np.array([True, True, False, False, True])
    known = hair_weight(vertices, landmarks, style, scalp)
    np.testing.assert_array_equal(known, scalp)


@pytest.mark.parametrize('kind', backgrounds.KINDS)
def test_backgrounds(kind):
    image = backgrounds.draw_background(np.random.default_rng(0), 60, kind)
    assert image.shape == (60, 60, 3) and image.dtype == np.uint8
    assert (kind == 'plain') == (image.std((0, 1)).max() == 0)
    frames = backgrounds.pan_background(np.random.default_rng(0), image, 40,
                                        12)
    assert frames.shape == (12, 40, 40, 3)
    steps = np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3))
    assert steps.max() < 20  # no jumps


def test_background_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='No background images'):
        backgrounds.list_images(tmp_path)
    (tmp_path / 'broken.jpg').write_bytes(b'none')
    files = backgrounds.list_images(tmp_path)
    image = backgrounds.load_background(np.random.default_rng(0), files, 32)
    assert image.shape == (32, 32, 3)


@pytest.mark.parametrize('kind', occluders.KINDS)
def test_occluders(kind):
    rng = np.random.default_rng(0)
    thing = occluders.draw_occluder(rng, 64, np.array([200, 150, 120]), kind)
    assert thing.shape == (128, 128, 4)
    assert thing[64, 64, 3] > 200  # the middle is covered
    color, alpha = thing[..., :3].astype(int), thing[..., 3:].astype(int)
    assert (color <= alpha + 1).all()  # multiplied by the opacity
    frames = np.full((5, 64, 64, 3), 90, np.uint8)
    path = np.tile([[20., 40., 0.]], (5, 1))
    path[1] = (1000, 1000, 0)
    out, opacity = occluders.cover(frames, thing, path)
    assert opacity[0, 40, 20] > .8
    assert opacity[1].max() == 0 and (out[1] == 90).all()
    untouched = opacity[0] == 0
    assert untouched.any() and (out[0][untouched] == 90).all()


def test_occluders_move_smoothly_over_the_image():
    paths = np.array([occluders.occluder_path(np.random.default_rng(i), 50,
                                              100) for i in range(40)])
    assert np.abs(np.diff(paths, axis=1)).max() < 9
    assert (np.abs(paths[:, :, :2] - 50) < 50).mean() > .5
