# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest
import torch
from helpers.toy_head import save_toy_head, toy_head
from mmengine.config import Config

from mmtvface.converters.published_files import flame_options
from mmtvface.registry import MODELS
from mmtvface.utils.assets import PUBLISHED_FILES
from mmtvface.utils.setup_env import register_all_modules

MODEL = dict(
    flame=dict(type='FLAME', model_path='procedural'),
    texture=dict(type='FLAMETexture', path='procedural', size=8),
    renderer=dict(type='MeshRenderer', topology='procedural', image_size=16,
                  uv_size=8),
    detail=dict(surface=dict(type='DetailSurface', topology='procedural',
                             size=256)))


@pytest.fixture
def names(tmp_path):
    """Empty files under all published names."""
    for name in PUBLISHED_FILES:
        (tmp_path / name).touch()
    return tmp_path


def test_all_files_are_used(names):
    options = flame_options(names, MODEL)
    assert options['model.flame.model_path'] == str(
        names / 'generic_model.pkl')
    assert options['model.flame.landmark_embedding_path'] == str(
        names / 'landmark_embedding.npy')
    # What the released weights were trained with comes first.
    for texture in ('FLAME_albedo_from_BFM.npz', 'FLAME_texture.npz',
                    'mean_texture.jpg'):
        options = flame_options(names, MODEL)
        assert options['model.texture.path'] == str(names / texture)
        (names / texture).unlink()
    topology = dict(
        _delete_=True,
        template_path=str(names / 'head_template.obj'),
        uv_face_mask_path=str(names / 'uv_face_mask.png'),
        uv_face_eye_mask_path=str(names / 'uv_face_eye_mask.png'),
        fixed_displacement_path=str(names / 'fixed_displacement_256.npy'))
    assert options['model.renderer.topology'] == topology
    assert options['model.detail.surface.topology'] == topology
    with pytest.raises(FileNotFoundError, match='BFM_to_FLAME.*mean_texture'):
        flame_options(names, MODEL)
    # A model without albedo needs none; nor does one without detail.
    coarse = {'flame': {}, 'renderer': {}}
    assert set(flame_options(names, coarse)) == {
        'model.flame.model_path', 'model.flame.landmark_embedding_path'}


def test_what_is_optional_and_what_is_not(names):
    for name in ('uv_face_mask.png', 'fixed_displacement_256.npy'):
        (names / name).unlink()
    topology = flame_options(names, MODEL)['model.renderer.topology']
    assert set(topology) == {'_delete_', 'template_path',
                             'uv_face_eye_mask_path'}
    for name in ('generic_model.pkl', 'head_template.obj',
                 'landmark_embedding.npy'):
        (names / name).rename(names / 'away')
        with pytest.raises(FileNotFoundError, match=f'lacks {name} from'):
            flame_options(names, MODEL)
        (names / 'away').rename(names / name)
    with pytest.raises(FileNotFoundError, match='no folder'):
        flame_options(names / 'none', MODEL)


def test_a_model_reads_the_files(tmp_path):
    register_all_modules()
    head = toy_head()
    folder = save_toy_head(tmp_path, head)['model_path'].parent
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:28] = 0, 0, 255  # BGR: red above black
    cv2.imwrite(str(folder / 'mean_texture.jpg'), picture)
    config = Config(dict(model=MODEL))
    config.merge_from_dict(flame_options(folder, config.model))
    surface = MODELS.build(config.model.detail.surface)
    own = torch.from_numpy(head.topology.fixed_displacement).float()
    assert torch.equal(surface.fixed_displacement[0, 0], own)
    assert torch.equal(surface.uv_face_eye_mask[0, 0].double(),
                       torch.from_numpy(head.topology.uv_face_eye_mask))
    albedo = MODELS.build(config.model.texture)(torch.zeros(1, 50))[0]
    expected = torch.zeros(3, 8, 8)
    expected[0, :4] = 1
    torch.testing.assert_close(albedo, expected, rtol=0, atol=.03)
    flame = MODELS.build(config.model.flame)
    assert len(flame.faces) == len(head.model.faces)
    MODELS.build(config.model.renderer)
