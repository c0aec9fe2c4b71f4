# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading checkouts of ICT-FaceKit, good and bad ones."""
import dataclasses
import os
import re
import shutil

import numpy as np
import pytest
from helpers.toy_ict import save_toy_ict

from mmtvface.converters.ict_facekit import ICT_LIGHT, IctLayout, read_kit
from mmtvface.converters.ict_facekit.kit import read_positions
from mmtvface.converters.ict_facekit.layout import OPTIONAL, expression_order
from mmtvface.io.mesh import read_obj


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    return save_toy_ict(tmp_path_factory.mktemp('ict') / 'kit', 2)


@pytest.fixture
def toy(original, tmp_path):
    """A copy that may be damaged."""
    shutil.copytree(original.folder, tmp_path / 'kit',
                    copy_function=os.symlink)
    return dataclasses.replace(original, folder=tmp_path / 'kit')


def replace(path, text):
    """Write a file of a copy, not the one that it links to."""
    path.unlink()
    path.write_text(text)


def edit(path, old, new):
    text, count = re.subn(old, new, path.read_text(), count=1,
                          flags=re.MULTILINE)
    assert count == 1
    replace(path, text)


def test_layout_of_the_kit():
    parts = ICT_LIGHT.parts
    assert parts['face'] == (0, 9409) and parts['head'] == (9409, 11248)
    assert parts['eyeballs'] == (21451, 24591)
    assert set(parts) == {'face', 'head', 'eyeballs', *OPTIONAL}
    spans = sorted(parts.values())
    # nothing between the parts; after them only fluid and lashes
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]]
    assert len(set(ICT_LIGHT.landmarks)) == 68
    assert (ICT_LIGHT.landmarks[0], ICT_LIGHT.landmarks[51],
            ICT_LIGHT.landmarks[67]) == (1225, 0, 5966)


@pytest.mark.parametrize('change, message', [
    (dict(parts={'face': (0, 5), 'head': (5, 9)}), r"lacks \['eyeballs'\]"),
    (dict(num_vertices=24000), 'eyeballs, vertices 21451..24590'),
    (dict(landmarks=ICT_LIGHT.landmarks[:67]), '68 vertices of the face'),
    (dict(landmarks=(9409, *ICT_LIGHT.landmarks[1:])), '0..9408')])
def test_wrong_layouts_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ICT_LIGHT, **change)


def test_expressions_have_a_fixed_order():
    names = ['eyeLookUp_R', 'zebra', 'eyeBlink_R', 'ape_R', 'mouthSmile_L',
             'PupilDilate_L', 'browInnerUp', 'eyeBlink_L', 'ape_L',
             'eyeLookUp_L', 'browInnerUp_L']
    ordered = ('mouthSmile_L', 'eyeBlink_L', 'eyeBlink_R', 'browInnerUp',
               'browInnerUp_L', 'ape_L', 'ape_R', 'zebra', 'eyeLookUp_L',
               'eyeLookUp_R', 'PupilDilate_L')
    assert expression_order(names) == ordered
    assert expression_order(reversed(names)) == ordered


def test_reads_offsets_of_all_meshes(original):
    seen = []

    def track(items, description):
        seen.append((len(items), description))
        return items

    kit = read_kit(original.folder, original.layout, track)
    assert seen == [(len(original.shapes), 'Reading meshes')]
    np.testing.assert_array_equal(kit.neutral.vertices, original.vertices)
    np.testing.assert_array_equal(
        kit.identity,
        [original.shapes['identity000'], original.shapes['identity001']])
    assert set(kit.expressions) == {name for name in original.shapes
                                    if not name.startswith('identity')}
    for name, offsets in kit.expressions.items():
        np.testing.assert_array_equal(offsets, original.shapes[name])
    # quads are two triangles, pentagons three
    assert len(kit.neutral.faces) == sum(
        len(polygon) - 2 for polygon in original.polygons)
    assert {len(p) for p in original.polygons} == {3, 4, 5}
    assert kit.license.startswith('MIT')
    inner = read_kit(original.folder / 'FaceXModel', original.layout)
    np.testing.assert_array_equal(inner.identity, kit.identity)


def test_positions_are_those_of_the_full_reader(original):
    path = original.path('mouthPucker')
    np.testing.assert_array_equal(
        read_positions(path, original.layout.num_vertices),
        read_obj(path).vertices)


def test_hidden_files_are_no_expressions(toy):
    (toy.folder / 'FaceXModel' / '._mouthPucker.obj').write_bytes(b'\0')
    assert '._mouthPucker' not in read_kit(toy.folder, toy.layout).expressions


def test_no_checkout(tmp_path, original):
    with pytest.raises(FileNotFoundError, match='generic_neutral_mesh.obj.*'
                       'github.com/ICT-VGL'):
        read_kit(tmp_path, original.layout)


@pytest.mark.parametrize('name', ['identity001', 'jawOpen', 'jawRight'])
def test_missing_file_is_named(toy, name):
    toy.path(name).unlink()
    with pytest.raises(FileNotFoundError, match=f'lacks {name}.obj'):
        read_kit(toy.folder, toy.layout)


def test_many_missing_files_are_summed_up(toy):
    layout = dataclasses.replace(toy.layout, num_identity=100)
    with pytest.raises(FileNotFoundError, match='identity002.obj.* and 94 '
                       'more'):
        read_kit(toy.folder, layout)


def test_other_version_is_refused(original):
    with pytest.raises(ValueError, match='generic_neutral_mesh.obj has '
                       '5103 vertices, but ICT-FaceKit Light has 26719'):
        read_kit(original.folder,
                 dataclasses.replace(ICT_LIGHT, num_identity=2))


@pytest.mark.parametrize('name, old, new, message', [
    ('jawLeft', '^v ', '# ', 'jawLeft.obj has 5102 vertices instead of 5103'),
    ('jawLeft', '^v ', 'v x', 'jawLeft.obj: its "v" lines are damaged'),
    ('identity000', '^v ', 'v 1 ', 'identity000.obj: its "v" lines are dam'),
    ('eyeBlink_L', r'^v \S+', 'v nan', 'eyeBlink_L.obj.*finite'),
    ('generic_neutral_mesh', r'^v \S+', 'v inf', 'mesh.obj holds NaN'),
    ('generic_neutral_mesh', '^f 1', 'f x', 'neutral_mesh.obj, line')])
def test_damaged_file_is_named(toy, name, old, new, message):
    edit(toy.path(name), old, new)
    with pytest.raises(ValueError, match=message):
        read_kit(toy.folder, toy.layout)


@pytest.mark.parametrize('name', ['jawOpen', 'generic_neutral_mesh'])
def test_pointer_of_git_lfs_is_named(toy, name):
    replace(toy.path(name), 'version https://git-lfs.github.com/spec/v1\n'
            'oid sha256:0\nsize 4\n')
    with pytest.raises(ValueError, match=f'{name}.obj is a pointer of Git '
                       'LFS.*git lfs pull'):
        read_kit(toy.folder, toy.layout)


def rewrite(toy, change):
    """Write the neutral mesh with changed positions."""
    path = toy.path('generic_neutral_mesh')
    rest = [line for line in path.read_text().split('\n')
            if not line.startswith('v ')]
    lines = ['v {} {} {}'.format(*row) for row in change(toy.vertices)]
    replace(path, '\n'.join(lines + rest))


@pytest.mark.parametrize('change, message', [
    (lambda v: v * [-1, 1, 1], "x must point to the person's left"),
    (lambda v: v[:, [0, 2, 1]], 'y up and z forward'),
    (lambda v: v / 10, 'which is 9 mm; a head has about 90 mm'),
    (lambda v: v * 10, 'which is 900 mm; a head has about 90 mm')])
def test_other_axes_or_units_are_refused(toy, change, message):
    rewrite(toy, change)
    with pytest.raises(ValueError, match=message):
        read_kit(toy.folder, toy.layout)


def test_mesh_without_uv_is_refused(toy):
    path = toy.path('generic_neutral_mesh')
    lines = [line for line in path.read_text().split('\n')
             if not line.startswith('vt ')]
    replace(path, '\n'.join(
        ' '.join(word.split('/')[0] for word in line.split())
        if line.startswith('f ') else line for line in lines))
    with pytest.raises(ValueError, match='has no UV coordinates'):
        read_kit(toy.folder, toy.layout)


def test_layout_is_a_parameter():
    assert IctLayout(9, {'face': (0, 3), 'head': (3, 6), 'eyeballs': (6, 9)},
                     (1, ) * 68).num_identity == 100
