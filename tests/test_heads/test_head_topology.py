# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import dataclasses

import cv2
import numpy as np
import pytest
from helpers.toy_head import save_toy_head, toy_head

from mmtvface.heads import HeadTopology, load_head_topology

PATHS = ('template_path', 'uv_face_mask_path', 'uv_face_eye_mask_path',
         'fixed_displacement_path')


def _save(folder):
    head = toy_head()
    paths = save_toy_head(folder, head)
    return head.topology, {key: paths[key] for key in PATHS}


def test_round_trip_through_the_published_formats(tmp_path):
    topology, paths = _save(tmp_path)
    result = load_head_topology(**paths)
    np.testing.assert_array_equal(result.faces, topology.faces)
    np.testing.assert_array_equal(result.uv_faces, topology.uv_faces)
    np.testing.assert_allclose(result.uv_coords, topology.uv_coords,
                               atol=1e-6)
    np.testing.assert_array_equal(result.uv_face_mask, topology.uv_face_mask)
    np.testing.assert_array_equal(result.uv_face_eye_mask,
                                  topology.uv_face_eye_mask)
    np.testing.assert_array_equal(result.fixed_displacement,
                                  topology.fixed_displacement)


def test_maps_are_optional(tmp_path):
    _, paths = _save(tmp_path)
    result = load_head_topology(paths['template_path'])
    assert (result.uv_face_mask == 1).all()
    assert (result.uv_face_eye_mask == 1).all()
    assert (result.fixed_displacement == 0).all()


def test_mask_is_the_first_channel_at_256(tmp_path):
    _, paths = _save(tmp_path)
    image = np.zeros((512, 512, 4), np.uint8)  # BGRA for OpenCV
    image[:256, :, 2] = 255
    image[..., 0], image[..., 3] = 77, 255
    cv2.imwrite(str(tmp_path / 'large.png'), image)
    mask = load_head_topology(paths['template_path'],
                              tmp_path / 'large.png').uv_face_mask
    assert mask.shape == (256, 256)
    assert (mask[:128] == 1).all() and (mask[128:] == 0).all()


def test_errors_name_the_file(tmp_path):
    _, paths = _save(tmp_path)
    for key in PATHS:
        with pytest.raises(FileNotFoundError, match='none.*DECA'):
            load_head_topology(**dict(paths, **{key: tmp_path / 'none'}))
    (tmp_path / 'page.png').write_text('<html>')
    with pytest.raises(ValueError, match='page.png'):
        load_head_topology(paths['template_path'], tmp_path / 'page.png')
    np.save(tmp_path / 'small.npy', np.zeros((128, 128)))
    with pytest.raises(ValueError, match=r'small.npy .*\(128, 128\)'):
        load_head_topology(paths['template_path'],
                           fixed_displacement_path=tmp_path / 'small.npy')
    (tmp_path / 'bare.obj').write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    with pytest.raises(ValueError, match='bare.obj has no UV'):
        load_head_topology(tmp_path / 'bare.obj')


def test_contradictions_are_refused():
    topology = toy_head().topology
    changes = [(dict(uv_faces=topology.uv_faces[:3]), r'uv_faces .*\(3, 3\)'),
               (dict(uv_coords=topology.uv_coords[:9]),
                'index 9 UV coordinates'),
               (dict(uv_face_mask=np.ones((4, 4))), 'uv_face_mask')]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(topology, **change)
    assert isinstance(topology, HeadTopology)
