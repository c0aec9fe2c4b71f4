# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head as data: mesh, UV map, rig, landmarks, albedo."""

import numpy as np
import pytest

from mmtvface.geometry.landmarks import MIRROR
from mmtvface.heads.providers.procedural import procedural_head
from mmtvface.heads.providers.procedural.uv_layout import UVLayout
from mmtvface.heads.providers.procedural.uv_raster import rasterize_uv_map


@pytest.fixture(scope='module')
def head():
    return procedural_head()


@pytest.fixture(scope='module')
def mirror(head):
    """(V,) the vertex at the mirrored place, found by its position."""
    vertices = head.model.v_template.round(12)
    order = np.lexsort(vertices.T)
    flipped = vertices * [-1, 1, 1] + 0.
    other = np.lexsort(flipped.T)
    index = np.empty(len(vertices), dtype=np.int64)
    index[other] = order
    return index


def test_dimensions_are_those_of_flame(head):
    model = head.model
    count = len(model.v_template)
    assert 4000 <= count <= 6000
    assert model.shapedirs.shape == (count, 3, 400)
    assert model.posedirs.shape == (count, 3, 36)
    assert model.parents.tolist() == [-1, 0, 1, 1, 1]
    assert len(head.expression_names) == 100
    assert len(set(head.expression_names)) == 100
    for array in (model.v_template, model.shapedirs, model.posedirs,
                  model.weights, model.J_regressor):
        assert np.isfinite(array).all()


def edges_of(faces):
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]],
                           faces[:, [2, 0]]])


def test_mesh_is_a_consistently_oriented_manifold(head):
    faces = head.model.faces
    edges = edges_of(faces)
    # every directed edge once: neighbours agree about the outside
    assert len(np.unique(edges, axis=0)) == len(edges)
    undirected, uses = np.unique(np.sort(edges, axis=1), axis=0,
                                 return_counts=True)
    assert uses.max() == 2
    border = undirected[uses == 1]
    # open only at the neck and behind the eyelids
    at_neck = head.regions['boundary'][border].all(1)
    behind_eyelids = head.regions['eye_region'][border].all(1)
    assert (at_neck | behind_eyelids).all()
    assert at_neck.any()
    assert len(np.unique(faces)) == len(head.model.v_template)


def test_no_face_is_degenerate(head):
    a, b, c = (1000 * head.model.v_template[head.model.faces[:, i]]
               for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    assert area.min() > .003
    assert area.max() < 250


def test_faces_look_outwards(head):
    vertices, faces = head.model.v_template, head.model.faces
    skin = ~(head.regions['ears'] | head.regions['mouth_inside'] |
             head.regions['eye_region'] | head.regions['eyeballs'] |
             head.regions['lips'])
    faces = faces[skin[faces].all(1)]
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    center = (a + b + c) / 3
    axis = np.stack([np.zeros(len(faces)), np.minimum(center[:, 1], .03),
                     np.full(len(faces), -.075)], -1)
    outward = np.sum(np.cross(b - a, c - a) * (center - axis), axis=1)
    assert (outward > 0).mean() > .995
    ball = head.regions['left_eyeball']
    center = vertices[ball].mean(0)
    faces = head.model.faces[ball[head.model.faces].all(1)]
    a, b, c = (vertices[faces[:, i]] - center for i in range(3))
    assert (np.sum(np.cross(b - a, c - a) * a, axis=1) > 0).all()


def test_mean_is_symmetric(head, mirror):
    model = head.model
    np.testing.assert_allclose(model.v_template[mirror],
                               model.v_template * [-1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(
        model.weights[mirror][:, [0, 1, 2, 4, 3]], model.weights,
        atol=1e-9)


def test_weights_and_joints(head):
    model = head.model
    np.testing.assert_allclose(model.weights.sum(1), 1, atol=1e-12)
    assert model.weights.min() >= 0
    np.testing.assert_allclose(model.J_regressor.sum(1), 1, atol=1e-9)
    joints = 1000 * model.J_regressor @ model.v_template
    np.testing.assert_allclose(joints[:3, 0], 0, atol=1e-6)
    np.testing.assert_allclose(joints[3], [32, 4, -8], atol=1e-6)
    np.testing.assert_allclose(joints[4], [-32, 4, -8], atol=1e-6)
    assert joints[0, 1] < joints[1, 1] < joints[2, 1] < 0
    eyes = head.regions['left_eyeball'], head.regions['right_eyeball']
    for joint, ball in zip((3, 4), eyes, strict=True):
        assert (model.weights[ball, joint] == 1).all()
        assert model.weights[~ball, joint].max() == 0


def test_weights_are_smooth_on_the_skin(head):
    skin = ~(head.regions['eyeballs'] | head.regions['mouth_inside'] |
             head.regions['lips'])
    edges = edges_of(head.model.faces)
    edges = edges[skin[edges].all(1)]
    step = np.abs(head.model.weights[edges[:, 0], 2] -
                  head.model.weights[edges[:, 1], 2])
    assert step.max() < .5
    assert np.quantile(step, .99) < .25


@pytest.mark.parametrize('size', [256, 700])
def test_uv_map_islands_do_not_overlap(head, size):
    uv_map = UVLayout(head.topology.uv_coords, head.topology.uv_faces)
    texels = rasterize_uv_map(uv_map, size)
    covered = np.count_nonzero(texels.count)
    # a texel centre exactly on an edge belongs to both sides
    assert np.count_nonzero(texels.count > 1) < 2e-4 * covered
    assert covered > .6 * size**2


def test_uv_map_area_equals_covered_area(head):
    coords, faces = head.topology.uv_coords, head.topology.uv_faces
    a, b, c = (coords[faces[:, i]] for i in range(3))
    u, v = b - a, c - a
    area = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    texels = rasterize_uv_map(UVLayout(coords, faces), 512)
    # no triangle is folded over
    assert (area > 0).all()
    # no overlap: what triangles add up to is what they cover together
    assert np.abs(area).sum() == pytest.approx(
        np.mean(texels.face >= 0), rel=2e-3)
    assert coords.min() > 0
    assert coords.max() < 1


def test_face_is_in_the_middle_of_the_uv_map(head):
    mask = head.topology.uv_face_mask
    row, column = np.average(np.indices(mask.shape).reshape(2, -1), axis=1,
                             weights=mask.ravel()) / 255
    assert column == pytest.approx(.5, abs=.01)
    assert row == pytest.approx(.5, abs=.08)
    with_eyes = head.topology.uv_face_eye_mask
    assert (with_eyes >= mask).all()
    assert with_eyes[:32, :32].max() == 1
    assert mask[:32, :32].max() == 0
    assert .25 < mask.mean() < .7


def test_landmark_embedding_is_symmetric_and_inside_faces(head):
    embedding, model = head.landmarks, head.model
    for kind in ('static', 'dynamic', 'full'):
        barys = getattr(embedding, f'{kind}_lmk_bary_coords')
        np.testing.assert_allclose(barys.sum(-1), 1, atol=1e-9)
        assert barys.min() > -1e-9
    corners = model.faces[embedding.full_lmk_faces_idx[0]]
    points = np.einsum('nk,nkc->nc', embedding.full_lmk_bary_coords[0],
                       model.v_template[corners])
    np.testing.assert_allclose(points[list(MIRROR)] * [-1, 1, 1], points,
                               atol=1e-9)
    np.testing.assert_array_equal(embedding.static_lmk_faces_idx,
                                  embedding.full_lmk_faces_idx[0, 17:])


def dynamic_points(head, yaw):
    row = yaw if yaw >= 0 else 39 - yaw
    faces = head.model.faces[head.landmarks.dynamic_lmk_faces_idx[row]]
    return 1000 * np.einsum(
        'nk,nkc->nc', head.landmarks.dynamic_lmk_bary_coords[row],
        head.model.v_template[faces])


def test_contour_slides_over_the_far_cheek(head):
    front = dynamic_points(head, 0)
    turned = dynamic_points(head, 30)
    # the person's left side turns away: its contour moves forward
    assert (turned[11:16, 2] > front[11:16, 2] + 3).all()
    np.testing.assert_array_equal(turned[:9], front[:9])
    other = dynamic_points(head, -30)
    np.testing.assert_allclose(other[::-1] * [-1, 1, 1], turned, atol=1e-9)
    depth = [dynamic_points(head, yaw)[14, 2] for yaw in range(40)]
    assert (np.diff(depth) > -.5).all()


def test_albedo_has_the_parts_of_a_face(head):
    mean, basis = head.albedo_mean, head.albedo_basis
    assert mean.shape == (512, 512, 3)
    assert basis.shape[:3] == (512, 512, 3)
    assert basis.shape[3] >= 50
    assert mean.dtype == basis.dtype == np.float32
    assert 0 <= mean.min() and mean.max() <= 1
    # one component is its pattern times its colour
    np.testing.assert_allclose(
        basis[100, 200, :, 3],
        head.albedo.patterns[100, 200, 3].astype(np.float32) *
        head.albedo.colors[3], rtol=1e-6)

    def color(number):
        face = head.landmarks.full_lmk_faces_idx[0, number]
        corners = head.topology.uv_coords[head.topology.uv_faces[face]]
        u, v = head.landmarks.full_lmk_bary_coords[0, number] @ corners
        return mean[int((1 - v) * 512), int(u * 512)]

    forehead = mean[150, 256]
    brow, lip = color(24), color(57)
    assert brow.sum() < .7 * forehead.sum()
    assert lip[0] / lip[1] > 1.1 * forehead[0] / forehead[1]


def test_regions_are_disjoint_where_they_should_be(head):
    regions = head.regions
    parts = ('face', 'ears', 'eyeballs', 'mouth_inside', 'neck')
    total = sum(regions[name].astype(int) for name in parts)
    assert total.max() == 1
    assert (regions['nose'] & ~regions['face']).sum() == 0
    for name, mask in regions.items():
        assert mask.any(), name
