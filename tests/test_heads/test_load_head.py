# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where heads come from, and how a model hands its head on."""

import copy

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_head import save_toy_head, toy_head
from helpers.toy_reconstructor import LAYOUT, toy_config
from mmengine.config import Config

from mmtvface.heads import (
    FLAME,
    HeadAssets,
    fill,
    load_head,
    modern_model,
    topology_of,
)
from mmtvface.reconstruction.model_setup import load_weights
from mmtvface.registry import MODELS
from mmtvface.renderers import MeshRenderer
from mmtvface.utils.setup_env import register_all_modules


@pytest.fixture(autouse=True)
def registered():
    register_all_modules()


@pytest.fixture
def folder(tmp_path):
    """A head in a folder, with a red and black picture."""
    save_toy_head(tmp_path / 'flame', toy_head())
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:28] = 0, 0, 255  # BGR: red above black
    cv2.imwrite(str(tmp_path / 'flame' / 'mean_texture.jpg'), picture)
    return tmp_path / 'flame'


def spec(folder, **options):
    return dict(type='flame', root=str(folder), **options)


def test_the_built_in_head():
    head = load_head(dict(type='procedural'))
    assert isinstance(head, HeadAssets) and load_head(head) is head
    assert len(head.expression_names) == 100
    assert FLAME(head).expression_names == head.expression_names
    assert head.scalp.shape == (len(head.model.v_template), )
    albedo = head.albedo(3, 16)
    assert albedo.mean.shape == (256, 3) and albedo.basis.shape == (256, 3, 3)
    with pytest.raises(ValueError, match='1000 components .* has 60'):
        head.albedo(1000)


def test_files_are_found_by_their_names(folder):
    head, toy = load_head(spec(folder)), toy_head()
    np.testing.assert_array_equal(head.model.faces, toy.model.faces)
    np.testing.assert_array_equal(head.landmarks.full_lmk_faces_idx,
                                  toy.landmarks.full_lmk_faces_idx)
    np.testing.assert_array_equal(head.topology.fixed_displacement,
                                  toy.topology.fixed_displacement)
    mean = head.albedo(50, 8).mean.reshape(8, 8, 3)
    np.testing.assert_allclose(mean[:3, :, 0], 1, atol=.03)
    np.testing.assert_allclose(mean[4:], 0, atol=.03)
    assert head.expression_names == () and head.scalp is None
    for name in ('uv_face_mask.png', 'fixed_displacement_256.npy'):
        (folder / name).unlink()
    topology = topology_of(spec(folder))
    assert (topology.uv_face_mask == 1).all()
    assert not topology.fixed_displacement.any()
    assert topology_of(topology) is topology


@pytest.mark.parametrize('name', [
    'generic_model.pkl', 'generic_model.npz', 'flame2023.pkl',
    'flame2023_Open.pkl'])
def test_releases(tmp_path, name):
    (tmp_path / name).touch()
    assert load_head(spec(tmp_path)).model_path == tmp_path / name
    # Another format of the same model is no other release.
    (tmp_path / 'generic_model.npz').touch()
    if not name.startswith('generic'):
        with pytest.raises(ValueError, match="several releases.*model='gen"):
            load_head(spec(tmp_path)).model  # noqa: B018
    assert load_head(spec(tmp_path, model=name)).model_path.name == name


def test_the_albedo_of_the_released_weights_comes_first(folder):
    for name in ('FLAME_albedo_from_BFM.npz', 'FLAME_texture.npz'):
        (folder / name).touch()
        with pytest.raises(ValueError, match=name):
            load_head(spec(folder)).albedo()
        (folder / name).unlink()
    (folder / 'FLAME_texture.npz').touch()
    chosen = load_head(spec(folder, albedo='mean_texture.jpg'))
    assert chosen.albedo(2, 4).basis.shape == (16, 3, 0)


def test_what_is_missing_is_named_when_it_is_used(folder):
    head = load_head(spec(folder))
    for name, use in (
            ('generic_model.npz', lambda: head.model),
            ('landmark_embedding.npy', lambda: head.landmarks),
            ('head_template.obj', lambda: head.topology),
            ('mean_texture.jpg', head.albedo)):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            use()
    with pytest.raises(FileNotFoundError, match='no folder.*flame.is.tue'):
        load_head(spec(folder / 'none'))


@pytest.mark.parametrize(('head', 'message'), [
    ('gnm', "type 'gnm', but of .*'flame', 'procedural'"),
    (dict(root='x'), 'type None'),
    (dict(type='flame'), "missing .*'root'"),
    (dict(type='procedural', root='x'), 'does not fit'),
])
def test_wrong_specs(head, message):
    with pytest.raises(ValueError, match=message):
        load_head(head)


def test_parts_get_what_they_take():
    config = dict(type='MeshRenderer', image_size=8)
    full = fill(config, MODELS, head='h', image_size=9)
    assert full == dict(type='MeshRenderer', head='h', image_size=8)
    assert fill(dict(type='ToyTexture'), MODELS, head='h') == dict(
        type='ToyTexture')
    assert 'head' not in config


def model(folder, **changes):
    return dict(
        type='TemporalDECA',
        encoder=dict(type='ResNetEncoder', depth=18, base_channels=4),
        regressor=dict(type='FLAMEHead', layout=LAYOUT, hidden_channels=8),
        flame=dict(type='FLAME', num_shape=LAYOUT['shape'],
                   num_expression=LAYOUT['exp']),
        head=spec(folder), texture=dict(type='FLAMETexture', size=8),
        renderer=dict(type='MeshRenderer', uv_size=8), image_size=16,
        detail=dict(
            type='DetailBranch',
            encoder=dict(type='ResNetEncoder', depth=18, base_channels=4),
            regressor=dict(type='DetailHead', num_detail=4,
                           hidden_channels=8),
            decoder=dict(type='DetailDecoder'),
            surface=dict(type='DetailSurface', size=256))) | changes


def test_a_model_hands_its_head_to_its_parts(folder):
    built, toy = MODELS.build(model(folder)), toy_head()
    faces = torch.from_numpy(toy.model.faces)
    for part in (built.flame, built.renderer, built.detail.surface.mapper):
        assert torch.equal(part.faces, faces)
    assert built.renderer.image_size == 16
    own = torch.from_numpy(toy.topology.fixed_displacement).float()
    assert torch.equal(built.detail.surface.fixed_displacement[0, 0], own)
    albedo = built.texture(torch.zeros(1, 50))[0]
    assert albedo[0, 0, 0] > .9 and albedo[0, 7, 7] < .1


def old(folder):
    """The same config as it was written before 0.2."""
    new = model(folder)
    topology = {f'{name}_path': str(folder / file) for name, file in (
        ('template', 'head_template.obj'),
        ('uv_face_mask', 'uv_face_mask.png'),
        ('uv_face_eye_mask', 'uv_face_eye_mask.png'),
        ('fixed_displacement', 'fixed_displacement_256.npy'))}
    new['head'] = new.pop('regressor')
    new['detail']['head'] = new['detail'].pop('regressor')
    new['flame'] |= dict(
        model_path=str(folder / 'generic_model.npz'),
        landmark_embedding_path=str(folder / 'landmark_embedding.npy'))
    new['texture'] |= dict(path=str(folder / 'mean_texture.jpg'))
    for part in (new['renderer'], new['detail']['surface']):
        part['topology'] = topology
    return new


def test_old_configs_are_read_with_a_warning(folder):
    config = old(folder)
    before = copy.deepcopy(config)
    with pytest.warns(DeprecationWarning, match='head=.*once'):
        built = MODELS.build(config)
    assert config == before
    torch.manual_seed(0)
    new = MODELS.build(model(folder))
    for one, two in zip(built.buffers(), new.buffers(), strict=True):
        assert one.shape == two.shape
        if one.dtype == torch.int64:
            assert torch.equal(one, two)
    assert torch.equal(built.texture.mean, new.texture.mean)
    with pytest.warns(DeprecationWarning):
        assert modern_model(dict(flame=dict(model_path='procedural'))) == (
            dict(flame={}, head=dict(type='procedural')))


def test_old_weights_load(tmp_path):
    config = toy_config()
    one, two = MODELS.build(config), MODELS.build(config)
    state = {key.replace('regressor.', 'head.'): value
             for key, value in one.state_dict().items()}
    assert 'head.layers.0.weight' in state
    two.load_state_dict(dict(state))
    torch.save(dict(state_dict=state), tmp_path / 'old.pth')
    three = MODELS.build(config)
    load_weights(three, tmp_path / 'old.pth')
    for other in (two, three):
        assert all(torch.equal(a, b) for a, b in zip(
            one.parameters(), other.parameters(), strict=True))


def test_old_heads_of_data_sets(folder):
    with pytest.warns(DeprecationWarning, match='model_path'):
        head = load_head(Config(dict(head=dict(
            model_path=str(folder / 'generic_model.npz'),
            landmark_embedding_path=str(folder / 'landmark_embedding.npy'),
            topology=dict(template_path=str(folder / 'head_template.obj')),
            texture_path=str(folder / 'mean_texture.jpg')))).head)
    assert len(MeshRenderer(head).faces) == len(head.model.faces)
