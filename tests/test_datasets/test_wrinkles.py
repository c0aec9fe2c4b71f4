# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch

from mmtvface.datasets import SyntheticFaceClipDataset
from mmtvface.datasets.synthetic import wrinkles as wr
from mmtvface.datasets.synthetic.performance import draw_identity
from mmtvface.datasets.synthetic.scene import HeadScene
from mmtvface.heads import load_head

SIZE = 64
NAMES = load_head('procedural').expression_names


@pytest.fixture(scope='module')
def scene():
    return HeadScene(image_size=64, wrinkles={}, detail_size=SIZE)


def person(number):
    return draw_identity('train', number, 100, 50)


def acting(**activations):
    codes = torch.zeros(1, 50)
    for name, value in activations.items():
        codes[0, NAMES.index(name)] = value
    return codes


def part(scene, name):
    """(S, S) where a part of an average person has creases."""
    pattern = scene.wrinkles.patterns(person(0))[wr.PARTS.index(name)]
    return pattern.abs() > 1e-4


@pytest.mark.parametrize('name, moved, still', [
    ('browOuterUp_L', 'forehead_l', 'eye_l'),
    ('browDown_R', 'glabella_r', 'forehead_r'),
    ('cheekRaiser_L', 'eye_l', 'forehead_l'),
    ('smile_R', 'fold_r', 'forehead_r'),
    ('smile_R', 'fold_r', 'fold_l'),
    ('frown_L', 'mouth_l', 'fold_r')])
def test_expressions_fold_their_part(scene, name, moved, still):
    rest, active = (
        scene.displacement(person(0), codes)[0, 0]
        for codes in (acting(), acting(**{name: 2.})))
    change = (active - rest).abs()
    assert change[part(scene, moved)].mean() > 5e-5
    only_still = part(scene, still) & ~part(scene, moved)
    assert change[only_still].max() < 1e-7


def test_the_left_side_is_at_positive_x(scene):
    template = scene._neutral(np.zeros(100)).vertices
    x = scene.surface.maps(template).positions[0, 0]
    for name, sign in (('eye_l', 1), ('eye_r', -1), ('fold_l', 1)):
        assert (sign * x[part(scene, name)] > 0).all()


def test_creases_lie_where_they_belong(scene):
    neutral = scene._neutral(np.zeros(100))
    marks = neutral.landmarks[0]
    y = scene.surface.maps(neutral.vertices).positions[0, 1]
    assert (y[part(scene, 'forehead_l')] > marks[24, 1]).all()
    fold = y[part(scene, 'fold_r')]
    assert (fold < marks[36, 1]).all() and (fold > marks[8, 1]).all()
    assert (y[part(scene, 'mouth_l')] < marks[54, 1]).all()
    both = part(scene, 'glabella_l') | part(scene, 'glabella_r')
    assert (y[both] > marks[28, 1]).all()


def test_deep_wrinkles_stay_within_the_limit():
    deep = HeadScene(image_size=64, detail_size=SIZE,
                     wrinkles=dict(depth=50., limit=1.5))
    folds = deep.displacement(person(0), torch.full((1, 50), 2.))
    assert 1.2e-3 < folds.abs().max() <= 1.5e-3


def test_people_differ_and_stay_themselves(scene):
    smile = acting(smile_L=2., smile_R=2.)
    one, again, other = (scene.displacement(person(n), smile)
                         for n in (1, 1, 2))
    assert torch.equal(one, again)
    assert (one - other).abs().max() > 1e-4


def test_people_may_share_the_courses(scene):
    neutral = scene._neutral(np.zeros(100))
    model = wr.WrinkleModel(scene.surface, neutral.vertices[0],
                            neutral.landmarks[0], NAMES, dict(courses=1))
    assert torch.equal(model.patterns(person(1)), model.patterns(person(2)))
    smile = acting(smile_L=2., smile_R=2.)
    assert not torch.equal(model.strengths(person(1), smile),
                           model.strengths(person(2), smile))


def test_depth_is_that_of_skin(scene):
    everything = torch.full((1, 50), 2.)
    for number in range(8):
        folds = scene.displacement(person(number), everything)
        assert -2e-3 < folds.min() < -1e-4 and folds.max() < 1.5e-3
        rest = scene.displacement(person(number), torch.zeros(1, 50))
        assert 0 < rest.abs().max() < folds.abs().max()


def test_outside_of_the_face_is_flat(scene):
    folds = scene.displacement(person(0), torch.full((1, 50), 2.))[0, 0]
    assert folds[scene.surface.uv_face_eye_mask[0, 0] == 0].abs().max() == 0


def test_unknown_expressions_leave_the_creases_at_rest(scene):
    neutral = scene._neutral(np.zeros(100))
    model = wr.WrinkleModel(scene.surface, neutral.vertices[0],
                            neutral.landmarks[0], ())
    strengths = model.strengths(person(0), torch.randn(3, 50))
    assert torch.equal(strengths[0], strengths[2])
    assert 0 < strengths.min() and strengths.max() <= .45


def test_ranges():
    with pytest.raises(TypeError, match='color'):
        HeadScene(image_size=32, wrinkles=dict(color=1))


def clip(**changes):
    return SyntheticFaceClipDataset(
        4, clip_length=2, image_size=64, degradations=False,
        occluder_prob=0., performance=dict(expressions_per_clip=20.),
        **changes)[1]


def test_clips_show_wrinkles():
    plain = clip()
    folded = clip(wrinkles=dict(depth=4.), detail_size=128)
    sample = folded['data_samples']
    assert sample.gt_displacement.shape == (2, 1, 128, 128)
    assert 'gt_displacement' not in plain['data_samples']
    difference = (folded['inputs'].int() - plain['inputs'].int()).abs()
    assert difference.max() > 8
    # the skin alone is another; everything else is drawn as before
    skin = plain['data_samples'].gt_masks > 0
    assert difference.amax(1, keepdim=True)[~skin].max() <= 8
    assert torch.equal(sample.gt_codes['exp'],
                       plain['data_samples'].gt_codes['exp'])


def test_depth_zero_is_smooth_skin():
    flat = clip(wrinkles=dict(depth=0.), detail_size=SIZE)
    assert flat['data_samples'].gt_displacement.abs().max() == 0
    assert torch.equal(flat['inputs'], clip()['inputs'])


def test_finer_maps_show_the_same_creases():
    """Deeper, as they blur less, but in the same places."""
    coarse, fine = (HeadScene(image_size=64, wrinkles={}, detail_size=size)
                    for size in (64, 256))
    codes = torch.full((1, 50), 2.)
    small, large = (scene.displacement(person(2), codes)
                    for scene in (coarse, fine))
    pooled = torch.nn.functional.avg_pool2d(large, 4)
    inside = (torch.nn.functional.avg_pool2d(
        fine.surface.uv_face_eye_mask, 4) == 1) & (
            coarse.surface.uv_face_eye_mask == 1)
    both = torch.stack([small[inside], pooled[inside]])
    assert torch.corrcoef(both)[0, 1] > .9
    assert small.abs().max() < large.abs().max()
