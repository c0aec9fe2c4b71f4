# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmtvface.datasets import (
    FaceClipDataset,
    SyntheticFaceClipDataset,
    write_clip_folder,
)
from mmtvface.datasets.synthetic.scene import HeadScene, soften_outline
from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.registry import DATASETS
from mmtvface.structures import FlameCodeLayout

SIZE = 64
CLEAN = dict(degradations=False, occluder_prob=0., hair=False, torso=False)


@pytest.fixture
def build(toy_head_config):
    def make(num_clips=6, performance=None, **kwargs):
        # Every vertex of the toy head moves with the eyes.
        performance = {'gaze': 0., **(performance or {})}
        return SyntheticFaceClipDataset(
            num_clips, **{**dict(clip_length=4, image_size=SIZE,
                                 **toy_head_config,
                                 performance=performance),
                          **kwargs})
    return make


def same(one, two):
    a, b = one['data_samples'], two['data_samples']
    return (torch.equal(one['inputs'], two['inputs'])
            and torch.equal(a.gt_landmarks, b.gt_landmarks)
            and torch.equal(a.gt_masks, b.gt_masks)
            and all(torch.equal(a.gt_codes[k], b.gt_codes[k])
                    for k in a.gt_codes))


def test_item(build, toy_head_config):
    dataset = DATASETS.build(dict(
        type='SyntheticFaceClipDataset', num_clips=3, clip_length=4,
        image_size=SIZE, **toy_head_config, split='val'))
    item = dataset[1]
    sample = item['data_samples']
    assert item['inputs'].shape == (4, 3, SIZE, SIZE)
    assert item['inputs'].dtype == torch.uint8
    assert sample.gt_landmarks.shape == (4, 68, 3)
    assert sample.gt_masks.shape == (4, 1, SIZE, SIZE)
    assert 0 <= sample.gt_masks.min() and sample.gt_masks.max() <= 1
    assert sample.gt_vertices.shape == (4, 1200, 3)
    layout = FlameCodeLayout(shape=10, tex=2, exp=8)
    assert layout.join(sample.gt_codes).shape == (4, layout.total)
    assert sample.clip_id == 'val_000001' and sample.identity == 'val_00001'
    assert sample.crop_matrices.shape == (4, 3, 3)
    for name in ('shape', 'tex'):  # one person per clip
        assert torch.equal(sample.gt_codes[name][0],
                           sample.gt_codes[name][3])
    assert 'gt_vertices' not in build(with_vertices=False)[0]['data_samples']


def test_a_clip_is_a_function_of_seed_and_index(build):
    dataset = build()
    items = [dataset[i] for i in range(6)]
    fresh = build()
    for index in (4, 0, 2, -1):
        assert same(items[index], fresh[index])
    assert same(items[3], pickle.loads(pickle.dumps(dataset))[3])
    assert same(items[3], build(num_clips=99)[3])
    for other in (build(seed=1)[3], build(split='test')[3], items[2]):
        assert not same(items[3], other)
    with pytest.raises(IndexError):
        dataset[6]


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_render_the_same(build, workers):
    dataset = build()
    loader = DataLoader(dataset, 2, num_workers=workers,
                        collate_fn=pseudo_collate)
    images = [image for batch in loader for image in batch['inputs']]
    for index, image in enumerate(images):
        assert torch.equal(image, dataset[index]['inputs'])


def test_people_of_the_splits_are_disjoint(build):
    seen = {}
    for split in ('train', 'val', 'test'):
        dataset = build(12, split=split, num_identities=5)
        infos = [dataset.get_data_info(i) for i in range(12)]
        assert len({info['identity'] for info in infos}) == 5
        assert infos[2]['identity'] == infos[7]['identity']
        for info in infos:
            shape = dataset.identity(info['person']).shape
            seen.setdefault(split, set()).add(shape.round(9).tobytes())
    assert len(set.union(*seen.values())) == 15


def test_truth_agrees_with_the_head_model(build):
    dataset = build(**CLEAN)
    sample = dataset[1]['data_samples']
    codes = sample.gt_codes
    out = dataset.scene.flame(codes['shape'], codes['exp'], codes['pose'])
    torch.testing.assert_close(out.vertices, sample.gt_vertices)
    ndc = project(out.landmarks2d, codes['cam'])[..., :2]
    torch.testing.assert_close(ndc, sample.gt_landmarks[..., :2])
    inside = (ndc.abs() <= 1).all(-1).float()
    assert torch.equal(sample.gt_landmarks[..., 2], inside)


def test_images_show_the_rendered_codes(build):
    dataset = build(**CLEAN)
    item = dataset[2]
    sample, scene = item['data_samples'], dataset.scene
    codes = sample.gt_codes
    albedo = scene.texture(codes['tex'][:1]).clamp(0, 1)
    out = scene.renderer.render(
        sample.gt_vertices, project(sample.gt_vertices, codes['cam']),
        albedo.expand(4, -1, -1, -1), codes['light'])
    whole = torch.nn.functional.avg_pool2d(out.alpha, 3, 1, 1) > .999
    outside = out.normals[:, 2:] > 0  # the sphere is open at its poles
    whole = whole & outside
    want = (255 * out.image.clamp(0, 1)).round()
    difference = (item['inputs'].float() - want).abs()
    assert (difference * whole).max() <= 1
    assert whole.float().mean() > .2
    difference = (sample.gt_masks - out.face_mask).abs()
    assert (difference * whole).max() < .003


def test_masks_lie_where_the_landmarks_are(build):
    dataset = build(**CLEAN, performance=dict(pose_scale=.5))
    for index in range(4):
        sample = dataset[index]['data_samples']
        pixels = ndc_to_pixel(sample.gt_landmarks[0, :, :2], SIZE).numpy()
        hull = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(
            np.rint(pixels).astype(np.int32)), 1)
        mask = sample.gt_masks[0, 0].numpy()
        assert mask[hull > 0].mean() > .9
        assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0


def test_crop_is_that_of_a_video(build):
    dataset = build(40, shift=0., shake=0., **CLEAN)
    sides = []
    for index in range(40):
        points = dataset[index]['data_samples'].gt_landmarks[..., :2]
        extent = points.amax(1) - points.amin(1)
        sides.append(2 / extent.mean(-1))
    sides = torch.stack(sides)
    assert 1.35 < sides.min() and sides.max() < 1.85
    assert sides.std() > .06


def test_motion_is_smooth(build):
    # Speech and blinks are fast by nature; all else is slow.
    dataset = build(8, clip_length=40, **CLEAN, performance=dict(talking=0.))
    for index in range(8):
        sample = dataset[index]['data_samples']
        points = sample.gt_landmarks[..., :2]
        step, change = points.diff(dim=0), points.diff(n=2, dim=0)
        assert step.abs().max() < .35
        assert change.std() < .9 * step.std()
        codes = sample.gt_codes
        assert codes['cam'][:, 0].diff().abs().max() < (
            .05 * codes['cam'][:, 0].mean())
        assert codes['light'].diff(dim=0).abs().max() < .1


def test_occluders_leave_the_mask_but_not_the_landmarks(build):
    options = {**CLEAN, 'shake': 0.}
    bare = build(20, **options)
    covered = build(20, **{**options, 'occluder_prob': 1.})
    lost = 0.
    for index in range(20):
        a, b = bare[index], covered[index]
        assert torch.equal(a['data_samples'].gt_landmarks,
                           b['data_samples'].gt_landmarks)
        before, after = a['data_samples'].gt_masks, b['data_samples'].gt_masks
        assert (after <= before).all()
        lost += (before - after).sum() / before.sum() / 20
        changed = (a['inputs'] != b['inputs']).any(1, keepdim=True)
        assert not (changed & (after == before) & (before > .99)).any()
    assert .02 < lost < .6


def test_gaze_is_seen_but_not_in_the_truth(build):
    straight = build(**CLEAN)[0]
    looking = build(**CLEAN, performance=dict(gaze=20.))[0]
    assert torch.equal(straight['data_samples'].gt_vertices,
                       looking['data_samples'].gt_vertices)
    assert not torch.equal(straight['inputs'], looking['inputs'])


def test_hair_is_not_skin(build):
    options = {**CLEAN, 'performance': dict(pose_scale=0.)}
    bald, hairy = build(12, **options), build(12, **{**options, 'hair': True})
    less = 0
    for index in range(12):
        a, b = bald[index]['data_samples'], hairy[index]['data_samples']
        assert (b.gt_masks <= a.gt_masks + 1e-6).all()
        less += bool((b.gt_masks < a.gt_masks - .5).any())
        same_place = b.gt_masks == a.gt_masks
        assert same_place[..., SIZE // 2:, :].float().mean() > .9
    assert less > 6


def test_supersampling_keeps_the_geometry(build):
    plain = build(2, **CLEAN)[0]
    fine = build(2, supersample=2, **CLEAN)[0]
    assert torch.equal(plain['data_samples'].gt_landmarks,
                       fine['data_samples'].gt_landmarks)
    difference = (plain['inputs'].float() - fine['inputs'].float()).abs()
    assert 0 < difference.mean() < 12
    moved = (plain['data_samples'].gt_masks -
             fine['data_samples'].gt_masks).abs().mean()
    assert moved < .03


def test_outline_is_softened_and_inside_kept():
    layers = np.zeros((1, 7, 7, 5), np.float32)
    layers[0, :, :4, :3] = .6
    layers[0, :, :4, 3:] = 1
    out = soften_outline(layers)[0, 3]
    np.testing.assert_allclose(out[:, 3], [1, 1, 1, 2 / 3, 1 / 3, 0, 0],
                               atol=1e-6)
    np.testing.assert_allclose(out[:, 0], .6 * out[:, 3], atol=1e-6)
    np.testing.assert_array_equal(out[:, 4], layers[0, 3, :, 4])


def test_background_folder(build, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((90, 70, 3), (255, 0, 0),
                                                 np.uint8))
    item = build(background_folder=str(tmp_path), **CLEAN)[0]
    corner = item['inputs'][0, :, :3, :3].float().mean((1, 2))
    assert corner.tolist() == [0, 0, 255]


def test_written_clips_are_read_back(build, tmp_path):
    item = build(**CLEAN)[1]
    folder = write_clip_folder(item, tmp_path / 'clips/a', codes=True)
    dataset = FaceClipDataset(str(tmp_path / 'clips'), clip_length=4,
                              image_size=SIZE, test_mode=True)
    back = dataset[0]['data_samples']
    want = item['data_samples']
    # Undo the second crop: the landmarks are those that were written.
    pixels = ndc_to_pixel(back.gt_landmarks[..., :2], SIZE).numpy()
    inverse = np.linalg.inv(back.crop_matrices)
    original = pixels @ inverse[:, :2, :2].swapaxes(1, 2) + (
        inverse[:, None, :2, 2])
    np.testing.assert_allclose(
        original, ndc_to_pixel(want.gt_landmarks[..., :2], SIZE), atol=1e-3)
    assert back.ori_shape == (SIZE, SIZE)
    masks = np.load(folder / 'seg/masks/00002.npy')
    np.testing.assert_array_equal(masks, want.gt_masks[1, 0])
    image = cv2.imread(str(folder / 'jpg/00002.jpg'))[..., ::-1]
    shown = item['inputs'][1].permute(1, 2, 0).numpy()
    assert np.abs(image.astype(int) - shown).mean() < 6
    codes = np.load(folder / 'gt_codes.npz')
    np.testing.assert_array_equal(codes['cam'], want.gt_codes['cam'])
    del want.gt_codes
    with pytest.raises(ValueError, match='gt_codes'):
        write_clip_folder(item, tmp_path / 'b', codes=True)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(split='holdout'), 'holdout'),
    (dict(clip_length=0), 'clip_length'),
    (dict(performance=dict(dance=1)), 'dance'),
    (dict(degradations=dict(rain={})), 'rain'),
    (dict(head=dict(type='x')), "type 'x'"),
])
def test_wrong_options(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_scene_keeps_a_limited_number_of_people(toy_head_config, monkeypatch):
    from mmtvface.datasets.synthetic import scene as module
    from mmtvface.datasets.synthetic.performance import draw_identity
    monkeypatch.setattr(module, '_PEOPLE_KEPT', 2)
    scene = HeadScene(toy_head_config['head'], FlameCodeLayout(
        **toy_head_config['layout']), 32)
    people = [draw_identity('train', n, 10, 2) for n in range(3)]
    albedos = [scene.person(person)[0] for person in people]
    assert list(scene._people) == ['train_00001', 'train_00002']
    assert torch.equal(scene.person(people[0])[0], albedos[0])
