# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The files of a head made of a fake of ICT-FaceKit Light, in use."""
import dataclasses
import functools
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmtvface.converters import ict_facekit as ict
from mmtvface.converters.ict_facekit import convert as converting
from mmtvface.converters.ict_facekit.layout import OPTIONAL
from mmtvface.geometry.camera import project
from mmtvface.heads import FLAME, FLAMETexture, load_head
from mmtvface.reconstruction.results import landmark_visibility
from mmtvface.renderers import MeshRenderer
from mmtvface.renderers.detail_surface import DetailSurface

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2] / 'tools/model_converters'))
tool = importlib.import_module('ict_facekit_to_flame')


@pytest.fixture
def toy(toy_ict):
    return toy_ict


@pytest.fixture
def head(ict_head):
    return ict_head


@pytest.fixture(scope='module')
def folder(ict_head, tmp_path_factory):
    return ict.save_head(tmp_path_factory.mktemp('out') / 'new' / 'ict',
                         ict_head)


def spec(folder):
    return dict(type='flame', root=folder)


def test_files_are_accepted_everywhere(head, folder):
    flame = FLAME(spec(folder))
    out = flame(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 6))
    np.testing.assert_allclose(out.vertices[0], head.model.v_template,
                               atol=1e-6)
    cam = torch.tensor([[7., 0, .03]])
    ndc = project(out.vertices, cam)
    renderer = MeshRenderer(spec(folder), image_size=96)
    image = renderer.render(out.vertices, ndc)
    assert .2 < image.alpha.mean() < .7
    # the face's mask covers the middle of the picture, not its border
    assert .3 < (image.face_mask.sum() / image.alpha.sum()) < .8
    # seen from the front nothing shows its back
    faces = image.normals[0, 2][image.alpha[0, 0] > 0]
    assert (faces > -.05).float().mean() > .98
    surface = DetailSurface(spec(folder), 64)
    flat = torch.zeros(1, 1, 64, 64)
    maps = surface.maps(out.vertices)
    np.testing.assert_allclose(surface.displace(flat, maps), maps.positions)
    raised = surface.displace(flat + .001, maps) - maps.positions
    inside = surface.uv_face_eye_mask[0, 0] == 1
    lengths = raised[0].norm(dim=0)[inside]
    assert lengths.median() == pytest.approx(.001, rel=.02)


def test_visibility_of_landmarks(folder):
    flame = FLAME(spec(folder))
    pose = torch.zeros(2, 6)
    pose[1, 1] = 1.2
    out = flame(torch.zeros(2, 100), torch.zeros(2, 50), pose)
    visible, fixed = landmark_visibility(
        flame, out.vertices, torch.tensor([[7., 0, 0]] * 2), pose)
    assert visible[0, 17:].float().mean() > .9
    # turned to the left, the left cheek is gone and the right one there
    assert not fixed[1, 10:16].any()
    assert fixed[1, 1:6].all()
    assert not fixed[1, 26] and fixed[1, [17, 36]].all()


def test_uv_map_and_masks(head, folder):
    topology = load_head(spec(folder)).topology
    uv = head.topology.uv_coords
    np.testing.assert_allclose(topology.uv_coords, uv, atol=1e-7)
    assert uv.min() >= 0 and uv.max() <= 1
    # the fake's eyeballs lie upon each other in a tile of their own
    sheets = {sheet.parts: sheet for sheet in head.sheets}
    assert ('left_eye', ) in sheets and ('right_eye', ) in sheets
    assert head.sheets[0].parts[0] == 'face'
    assert head.sheets[0].scale == (.75, .75)
    for name in ('uv_face_mask', 'uv_face_eye_mask'):
        np.testing.assert_allclose(getattr(topology, name),
                                   getattr(head.topology, name), atol=.003)
    assert not topology.fixed_displacement.any()

    def mean(mask, part, low=-9.):
        """How far the mask covers a part above a height."""
        chosen = head.mesh.parts[part][head.mesh.faces].all(1)
        chosen &= (head.model.v_template[head.mesh.faces, 1] > low).all(1)
        u, v = uv[head.topology.uv_faces[chosen]].mean(1).T
        return mask[((1 - v) * 256).astype(int), (u * 256).astype(int)].mean()

    skin, with_eyes = topology.uv_face_mask, topology.uv_face_eye_mask
    assert mean(skin, 'face') > .6
    assert mean(skin, 'head') < .02
    assert mean(skin, 'left_eye') == mean(skin, 'teeth') == 0
    assert min(mean(with_eyes, 'left_eye'), mean(with_eyes, 'right_eye')) > .9
    u, v = uv[head.topology.uv_faces[head.landmarks.static_lmk_faces_idx]
              ].mean(1).T
    inner = skin[((1 - v) * 256).astype(int), (u * 256).astype(int)]
    assert inner[:19].min() == 1


def test_albedo_is_brought_over(head):
    size = 128
    albedo = converting.transfer_albedo(
        head.mesh, converting.UVLayout(head.topology.uv_coords,
                                      head.topology.uv_faces), head.eyes,
        size)
    assert albedo.mean.shape == (size, size, 3)
    assert albedo.basis.shape[:3] == (size, size, 3)
    assert albedo.basis.shape[3] >= 50
    assert 0 <= albedo.mean.min() and albedo.mean.max() <= 1

    def color(vertex):
        rows, corners = np.nonzero(head.mesh.faces == vertex)
        u, v = head.topology.uv_coords[
            head.topology.uv_faces[rows[0], corners[0]]]
        return albedo.mean[int((1 - v) * size), int(u * size)]

    marks = head.mesh.landmarks
    forehead = color(np.argmin(np.linalg.norm(
        1000 * head.model.v_template - [0, 50, 9], axis=1)))
    brow = color(marks[24])
    lip = np.mean([color(marks[i]) for i in (50, 52, 66)], axis=0)
    assert brow.sum() < .75 * forehead.sum()
    assert lip[0] / lip[1] > 1.1 * forehead[0] / forehead[1]
    ball = np.flatnonzero(head.mesh.parts['left_eye'])
    pupil = ball[np.argmax(head.model.v_template[ball, 2])]
    assert color(pupil).sum() < .3
    tooth = np.flatnonzero(head.mesh.parts['teeth'])[0]
    np.testing.assert_allclose(color(tooth), (.82, .79, .72), atol=1e-6)
    with pytest.raises(ValueError, match="texture must be one of.*'photo'"):
        ict.head_albedo(head, 'photo')


def test_textures_are_written_and_old_ones_removed(head, tmp_path):
    mean = np.full((512, 512, 3), (.8, .5, .25), np.float32)
    # the second component is red
    basis = np.zeros((512, 512, 3, 2), np.float32)
    basis[..., 0, 1] = .1
    small = dataclasses.replace(head, model=dataclasses.replace(
        head.model, shapedirs=np.zeros_like(head.model.shapedirs)))
    ict.save_head(tmp_path, small, converting.AlbedoMaps(mean, basis))
    texture = FLAMETexture(spec(tmp_path), 2, 8)
    code = torch.tensor([[0., 1.]])
    np.testing.assert_allclose(texture(code)[0, :, 3, 4], [.9, .5, .25],
                               atol=1e-6)
    ict.save_head(tmp_path, small, converting.AlbedoMaps(mean, None))
    assert not (tmp_path / 'FLAME_texture.npz').exists()
    picture = FLAMETexture(spec(tmp_path), 2, 8)
    np.testing.assert_allclose(picture(code)[0, :, 3, 4], [.8, .5, .25],
                               atol=.002)


def test_the_model_file_vouches_for_the_others(head, tmp_path, monkeypatch):
    names = ('generic_model.npz', 'mean_texture.png')
    for name in names:
        (tmp_path / name).write_bytes(b'old')

    def fail(*args, **kwargs):
        raise OSError('disk full')

    monkeypatch.setattr(np, 'savez', fail)
    with pytest.raises(OSError, match='disk full'):
        ict.save_head(tmp_path, head)
    left = {path.name for path in tmp_path.iterdir()}
    assert 'head_template.obj' in left
    assert not left & set(names)
    assert not [name for name in left if 'part' in name]


def test_index_names_and_license_are_kept(toy, head, folder):
    index = np.load(folder / 'ict_vertices.npy')
    np.testing.assert_allclose(
        (toy.vertices[index] - head.mesh.origin) * .01,
        head.model.v_template, atol=1e-12)
    facts = json.loads((folder / 'ict_facekit.json').read_text())
    assert tuple(facts['expression_names']) == head.expression_names
    assert facts['num_vertices'] == len(index)
    assert not facts['jaw_joint_at_limit']
    text = (folder / 'ICT-FaceKit-LICENSE.txt').read_text()
    assert text.startswith('MIT License')


def test_command(toy, head, tmp_path, monkeypatch, capsys):
    assert tool.OPTIONAL == OPTIONAL and tool.TEXTURES == converting.TEXTURES
    # the command takes the kit's own layout; here is the fake's
    monkeypatch.setattr(ict, 'read_kit', functools.partial(
        ict.read_kit, layout=toy.layout))
    asked = []

    def convert(kit, **options):
        asked.append(options)
        assert list(kit.expressions)[0] == 'mouthSmile_L'
        return head

    monkeypatch.setattr(ict, 'convert_kit', convert)
    out = tmp_path / 'head'
    arguments = [str(toy.folder), str(out), '--texture', 'none', '--parts',
                 'teeth', 'mouth_socket', '--full-activation', '2']
    assert tool.main(arguments) == 0
    assert asked == [dict(parts=['teeth', 'mouth_socket'],
                          full_activation=2.)]
    printed = capsys.readouterr()
    assert 'the jaw joint explains jawOpen 99.' in printed.out
    # what is printed is what a config takes
    options = dict(re.findall(r'model\.head\.(\w+)=(\S+)', printed.out))
    found = load_head(options)
    assert len(found.topology.faces) == len(head.model.faces) == len(
        found.model.faces)
    assert 'Reading meshes' in printed.err
    assert (out / 'generic_model.npz').is_file()
    # not again without being told
    assert tool.main(arguments) == 2
    assert '--force replaces it' in capsys.readouterr().err


def test_command_without_a_kit(tmp_path, capsys):
    assert tool.main([str(tmp_path), str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ICT-FaceKit Light not found')
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()
