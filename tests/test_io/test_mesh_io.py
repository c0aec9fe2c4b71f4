# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest

from mmtvface.io.mesh import read_mesh, read_obj, write_obj, write_ply

# A square of two triangles whose diagonal is a seam of the UV map.
VERTICES = np.array([[0, 0, 0], [.1, 0, 0], [.1, .1, 0], [0, .1, .0123456]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = np.array([[0, 0], [1, 0], [1, 1], [.25, .5], [.75, .5], [0, 1]])
UV_FACES = np.array([[0, 1, 2], [3, 4, 5]])


def test_reads_every_form_of_a_corner(tmp_path):
    path = tmp_path / 'mesh.obj'
    path.write_text('# comment\nmtllib none.mtl\no head\n'
                    'v 0 0 0\nv 1 0 0 # corner\nv 1 1 0\nv 0 1 0\n'
                    'vt 0 0\nvt 1 0 0\nvt 1 1\nvt 0 1\nvn 0 0 1\n'
                    's off\nusemtl x\n\n'
                    'f 1/4 2/3 3/2 4/1\nf -4/-4/1 -3/-3/1 -2/-2/1\n')
    mesh = read_obj(path)
    np.testing.assert_array_equal(mesh.faces,
                                  [[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(mesh.uv_faces,
                                  [[3, 2, 1], [3, 1, 0], [0, 1, 2]])
    np.testing.assert_array_equal(mesh.uv_coords,
                                  [[0, 0], [1, 0], [1, 1], [0, 1]])
    assert mesh.colors is None and mesh.vertices.dtype == np.float64


@pytest.mark.parametrize('faces', ['f 1 2 3', 'f 1//1 2//1 3//1',
                                   'f 1/1 2/1 3'])
def test_uv_needs_every_corner(tmp_path, faces):
    path = tmp_path / 'mesh.obj'
    path.write_text(f'v 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvn 0 0 1\n{faces}\n')
    mesh = read_obj(path)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2]])
    assert mesh.uv_faces is None and mesh.uv_coords is None


@pytest.mark.parametrize('text, message', [
    ('v 0 0\nv 1 0\nf 1 2 2\n', 'no triangle mesh'),
    ('v 0 0 0\nv 0 zero 0\nf 1 2 2\n', 'line 2'),
    ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 x\n', 'line 4'),
    ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n', r'vertices 1\.\.4'),
    ('v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/2 3/1\n',
     'UV coordinate 2'),
    ('v 0 0 0\nv 1 0 0 1 1 1\nv 0 1 0\nf 1 2 3\n', 'differ in length'),
    ('<html>login</html>', 'no triangle mesh'),
])
def test_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / 'mesh.obj'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_obj(path)
    assert str(path) in str(caught.value)


def test_obj_keeps_order_and_seams(tmp_path):
    path = tmp_path / 'new' / 'mesh.obj'
    write_obj(path, VERTICES, FACES, UV, UV_FACES)
    mesh = read_obj(path)
    np.testing.assert_allclose(mesh.vertices, VERTICES, atol=5e-8)
    np.testing.assert_allclose(mesh.uv_coords, UV, atol=5e-7)
    np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_array_equal(mesh.uv_faces, UV_FACES)
    assert sorted(p.name for p in path.parent.iterdir()) == ['mesh.obj']


def test_obj_with_texture_is_understood_by_trimesh(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    texture = np.zeros((4, 4, 3))
    texture[0, 0] = 1, .5, 0  # RGB; row 0 is v = 1
    path = tmp_path / 'mesh.obj'
    write_obj(path, VERTICES, FACES, UV, UV_FACES, texture=texture)
    image = cv2.imread(str(tmp_path / 'mesh.png'))
    assert image[0, 0].tolist() == [0, 128, 255]
    loaded = trimesh.load(path, process=False)
    assert np.asarray(loaded.visual.material.image)[0, 0, :3].tolist() == [
        255, 128, 0]
    # Every corner has its place and its place in the UV map.
    corners = loaded.vertices[loaded.faces].reshape(-1, 3)
    np.testing.assert_allclose(corners, VERTICES[FACES].reshape(-1, 3),
                               atol=1e-7)
    np.testing.assert_allclose(loaded.visual.uv[loaded.faces].reshape(-1, 2),
                               UV[UV_FACES].reshape(-1, 2), atol=1e-6)


def test_obj_with_normals_and_a_normal_map(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    texture = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    bumps = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = tmp_path / 'a b.c.obj'
    write_obj(path, VERTICES, FACES, UV, UV_FACES, texture, normals=normals,
              normal_map=bumps)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'a b.c.mtl', 'a b.c.obj', 'a b.c.png', 'a b.c_normals.png']
    material = (tmp_path / 'a b.c.mtl').read_text().splitlines()
    assert 'map_Kd a b.c.png' in material
    assert 'map_Bump -bm 1 a b.c_normals.png' in material
    assert 'norm a b.c_normals.png' in material
    written = cv2.imread(str(tmp_path / 'a b.c_normals.png'))
    np.testing.assert_array_equal(written[..., ::-1], bumps)
    mesh = read_obj(path)
    np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_array_equal(mesh.uv_faces, UV_FACES)
    loaded = trimesh.load(path, process=False)
    found = loaded.vertex_normals[loaded.faces].reshape(-1, 3)
    np.testing.assert_allclose(found, normals[FACES].reshape(-1, 3),
                               atol=1e-5)
    np.testing.assert_array_equal(
        np.asarray(loaded.visual.material.image)[..., :3], texture)


def test_obj_with_normals_only(tmp_path):
    path = tmp_path / 'mesh.obj'
    write_obj(path, VERTICES, FACES, normals=np.tile([0., 0, 1], (4, 1)))
    assert 'f 1//1 2//2 3//3' in path.read_text().splitlines()
    np.testing.assert_array_equal(read_obj(path).faces, FACES)


def test_a_failing_image_leaves_no_mesh_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match='mesh.png'):
        write_obj(tmp_path / 'mesh.obj', VERTICES, FACES, UV, UV_FACES,
                  np.zeros((2, 2, 3)))
    assert not list(tmp_path.iterdir())


def test_uint8_textures_are_written_unchanged(tmp_path):
    texture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_obj(tmp_path / 'mesh.obj', VERTICES, FACES, UV, UV_FACES, texture)
    image = cv2.imread(str(tmp_path / 'mesh.png'))
    np.testing.assert_array_equal(image[..., ::-1], texture)


def test_vertex_colors_survive(tmp_path):
    colors = np.linspace(0, 1, 12).reshape(4, 3)
    write_obj(tmp_path / 'mesh.obj', VERTICES, FACES, colors=colors)
    np.testing.assert_allclose(read_obj(tmp_path / 'mesh.obj').colors, colors,
                               atol=1e-4)


def test_ply_round_trip(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    path = tmp_path / 'new' / 'mesh.ply'
    colors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [.2, .4, .6]])
    write_ply(path, VERTICES, FACES, colors)
    vertices, faces = read_mesh(path)
    np.testing.assert_allclose(vertices, VERTICES, atol=1e-8)
    np.testing.assert_array_equal(faces, FACES)
    loaded = trimesh.load(path, process=False).visual.vertex_colors
    np.testing.assert_array_equal(loaded[:, :3], (colors * 255).round())


def test_read_mesh_of_obj_does_not_split_seams(tmp_path):
    write_obj(tmp_path / 'mesh.obj', VERTICES, FACES, UV, UV_FACES)
    vertices, faces = read_mesh(tmp_path / 'mesh.obj')
    assert vertices.shape == (4, 3)
    np.testing.assert_array_equal(faces, FACES)


def test_damaged_ply(tmp_path):
    pytest.importorskip('trimesh')
    (tmp_path / 'mesh.ply').write_bytes(b'ply\nbroken')
    with pytest.raises(ValueError, match='mesh.ply'):
        read_mesh(tmp_path / 'mesh.ply')


@pytest.mark.parametrize('kwargs, message', [
    (dict(uv_coords=UV), 'together'),
    (dict(texture=np.zeros((2, 2, 3))), 'needs uv_coords'),
    (dict(normal_map=np.zeros((2, 2, 3))), 'normal_map needs uv_coords'),
    (dict(normals=np.zeros((3, 3))), 'normals'),
    (dict(uv_coords=UV, uv_faces=UV_FACES[:1]), 'uv_faces'),
    (dict(colors=np.zeros((3, 3))), 'colors'),
])
def test_refuses_what_does_not_fit(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        write_obj(tmp_path / 'mesh.obj', VERTICES, FACES, **kwargs)
    assert not (tmp_path / 'mesh.obj').exists()


def test_suffix_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"'\.obj'"):
        write_obj(tmp_path / 'mesh.ply', VERTICES, FACES)
    with pytest.raises(ValueError, match=r"'\.ply'"):
        write_ply(tmp_path / 'mesh.obj', VERTICES, FACES)
    for read in (read_obj, read_mesh):
        with pytest.raises(FileNotFoundError, match='none.obj'):
            read(tmp_path / 'none.obj')


@pytest.mark.parametrize('vertices, faces, message', [
    ([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], 'not finite'),
    ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 3]], '0 to 3, but there are')])
def test_broken_meshes_are_not_written(tmp_path, vertices, faces, message):
    path = tmp_path / 'broken.obj'
    with pytest.raises(ValueError, match=message):
        write_obj(path, np.array(vertices, float), np.array(faces))
    assert not path.exists()
