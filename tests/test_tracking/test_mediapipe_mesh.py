# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import cv2
import numpy as np
import pytest
from helpers.rendered_heads import landmark_error, rendered_heads

from mmtvface.geometry.mediapipe68 import (
    LEFT_IRIS,
    RIGHT_IRIS,
    mediapipe_to_68,
)
from mmtvface.tracking.detectors.mediapipe_mesh import (
    MeshNetwork,
    Region,
    cut_region,
    refined_mesh,
    region_of_box,
    region_of_mesh,
)
from mmtvface.tracking.detectors.mediapipe_mesh import _graph as graph_text
from mmtvface.tracking.detectors.mediapipe_runtime import module, quiet


def test_matrix_maps_the_square_from_edge_to_edge():
    # A square of 96 pixels, indices 52 to 147, edges 51.5 and 147.5.
    matrix = Region(99.5, 49.5, 96.).matrix()
    np.testing.assert_allclose(matrix @ [51.5, 1.5, 1.], [-.5, -.5])
    np.testing.assert_allclose(matrix @ [147.5, 97.5, 1.], [191.5, 191.5])


def test_region_turns_with_the_eyes():
    region = region_of_box(np.array([10., 20., 30., 60.]),
                           np.array([[10., 10.], [20., 20.]]))
    assert region == (20., 40., 60., pytest.approx(np.pi / 4))
    across = region.matrix()[:, :2] @ [1., 1.]
    np.testing.assert_allclose(across[1], 0., atol=1e-12)
    assert across[0] > 0
    # Of an empty box there is at least one pixel.
    assert region_of_box(np.array([5., 5., 5., 5.])).side == 1.


def test_region_of_a_turned_mesh():
    rng = np.random.default_rng(0)
    mesh = rng.uniform(-1, 1, (468, 2)) * [50., 80.]
    mesh[:4] = [50, 0], [-50, 0], [0, 80], [0, -80]
    mesh[33], mesh[263] = [-30, -20], [30, -20]
    cos, sin = np.cos(0.4), np.sin(0.4)
    turned = mesh @ np.array([[cos, sin], [-sin, cos]]) + [200., 100.]
    np.testing.assert_allclose(region_of_mesh(turned),
                               (200., 100., 1.5 * 160, 0.4))


@pytest.mark.parametrize('side', [40., 192., 500., 1500.])
def test_cut_shows_what_the_matrix_says(side):
    # A smooth picture: its values tell where a pixel came from.
    y, x = np.mgrid[:400, :600]
    image = np.stack([x * 0.4, y * 0.6, x * 0], -1).astype(np.float32)
    # uint8 would round; cut_region takes any depth that OpenCV takes.
    pixels, back = cut_region(image, Region(310., 190., side, 0.3))
    grid = np.stack([*np.mgrid[:192, :192][::-1], np.ones((192, 192))], -1)
    place = grid @ back.T
    inside = ((place > 10) & (place < [589, 389])).all(-1)
    assert inside.sum() > 2000
    found = pixels[inside][:, :2] / [0.4, 0.6]
    np.testing.assert_allclose(found, place[inside], atol=0.6)
    assert (pixels[((place < -12) | (place > [611, 411])).any(-1)] == 0).all()


def test_a_region_beside_the_image_is_none():
    image = np.zeros((20, 30, 3), np.uint8)
    assert cut_region(image, Region(-200., 10., 50.)) is None
    assert cut_region(image, Region(10., 500., 50., 1.)) is None
    assert cut_region(image, Region(0., 0., 4000.))[0].shape == (192, 192, 3)


@pytest.fixture(scope='module')
def network():
    pytest.importorskip('mediapipe.python.solution_base')
    made = MeshNetwork()
    yield made
    made.close()


@pytest.fixture(scope='module')
def heads():
    return rendered_heads((0., 0.4))


def looked_at(network, image, box, **options):
    first = network(image, region_of_box(box))[0]
    return network(image, region_of_mesh(first), **options)


def test_landmarks_of_rendered_heads(network, heads):
    for image, true in zip(*heads, strict=True):
        box = np.concatenate([true.min(0), true.max(0)])
        mesh, presence = looked_at(network, image, box)
        assert mesh.shape == (478, 3) and presence > 0.99
        assert landmark_error(mediapipe_to_68(mesh[:, :2]), true) < 0.04
        # The tip of the nose is nearer than the ears.
        assert mesh[1, 2] < mesh[[234, 454], 2].min() - 20
        # The irises lie in their eyes; on their edges, right and left,
        # above and below in the image.
        for iris, eye in ((RIGHT_IRIS, true[36:42]),
                          (LEFT_IRIS, true[42:48])):
            center, *edge = mesh[list(iris), :2]
            assert np.linalg.norm(center - eye.mean(0)) < 5.
            (x0, _), (_, y1), (x2, _), (_, y3) = edge - center
            assert x2 < -1. < 1. < x0 and y1 < -1. < 1. < y3


def test_outputs_are_put_together_by_hand():
    outputs = dict(
        mesh=np.arange(468 * 3), lips=np.full(160, 1.),
        right_eye=np.full(142, 2.), left_eye=np.full(142, 3.),
        right_iris=np.arange(10.), left_iris=np.full(10, 5.))
    mesh = refined_mesh(outputs)
    np.testing.assert_array_equal(mesh[1], [3., 4., 5.])  # nose: untouched
    # Lips and eyelids keep their depth.
    np.testing.assert_array_equal(mesh[61], [1., 1., 61 * 3 + 2])
    np.testing.assert_array_equal(mesh[159], [2., 2., 159 * 3 + 2])
    np.testing.assert_array_equal(mesh[386], [3., 3., 386 * 3 + 2])
    # Irises have the mean depth of the 16 points of their eyelids' edge.
    eyelids = [33, 7, 163, 144, 145, 153, 154, 155, 133,
            246, 161, 160, 159, 158, 157, 173]
    np.testing.assert_allclose(mesh[469], [2., 3., 3 * np.mean(eyelids) + 2])
    np.testing.assert_array_equal(mesh[473:, :2], np.full((5, 2), 5.))


def test_outputs_are_put_together_as_mediapipe_does(heads):
    pytest.importorskip('mediapipe.python.solution_base')
    base = module('solution_base')
    kind = base.PacketDataType
    lists = ('mesh', 'lips', 'right_eye', 'left_eye', 'right_iris',
             'left_iris')
    text = graph_text(1)
    image = cv2.resize(heads[0][1], (192, 192))

    def run(config, **kinds):
        with quiet():
            graph = base.SolutionBase(
                graph_config=config,
                stream_type_hints={'image': kind.IMAGE_FRAME, **kinds})
            result = graph.process(image)
            graph.close()
        return result

    outputs = run(text, presence=kind.FLOAT,
                  **dict.fromkeys(lists, kind.FLOAT_LIST))
    start, end = (text.index(part) for part in (
        'node {', 'node {\n  calculator: "SplitTensorVectorCalculator"'))
    points = run(f"""
input_stream: "image"
output_stream: "points"
{text[start:end]}
node {{
  calculator: "SplitTensorVectorCalculator"
  input_stream: "output"
  output_stream: "parts"
  output_stream: "presence"
  options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{
    ranges {{ begin: 0 end: 6 }} ranges {{ begin: 6 end: 7 }} }} }}
}}
node {{
  calculator: "TensorsToFaceLandmarksWithAttention"
  input_stream: "TENSORS:parts"
  output_stream: "LANDMARKS:points"
}}
""", points=kind.PROTO).points.landmark
    theirs = 192 * np.array([(p.x, p.y, p.z) for p in points])
    ours = refined_mesh({name: getattr(outputs, name) for name in lists})
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    # The refinement is no trifle.
    plain = np.reshape(outputs.mesh, (468, 3))
    assert np.abs(ours[:468] - plain).max() > 0.5


def test_same_as_the_whole_solution(network, heads):
    image, true = heads[0][1], heads[1][1]
    with quiet():
        graph = module('solutions.face_mesh').FaceMesh(
            static_image_mode=False, max_num_faces=1, refine_landmarks=True)
        for _ in range(3):  # the last two by the region of the frame before
            points = graph.process(image).multi_face_landmarks[0].landmark
        graph.close()
    theirs = np.array([(p.x, p.y, p.z) for p in points]) * 320 - [.5, .5, 0.]
    box = np.concatenate([true.min(0), true.max(0)])
    mesh = looked_at(network, image, box)[0]
    mesh = network(image, region_of_mesh(mesh))[0]
    # The solution samples a fraction of a pixel beside its own coordinates;
    # the face is 140 pixels wide.
    assert np.abs(mesh - theirs).mean() < 0.6
    np.testing.assert_allclose(mesh, theirs, atol=2.5)


def test_large_tilted_and_mirrored_faces(network, heads):
    image, true = heads[0][1], heads[1][1]
    turn = cv2.getRotationMatrix2D((160., 160.), 35., 4.)
    turn[:, 2] += [480., 480.]
    large = cv2.warpAffine(image, turn, (1280, 1280))
    moved = true @ turn[:, :2].T + turn[:, 2]
    box = np.concatenate([moved.min(0), moved.max(0)])
    mesh, presence = looked_at(network, large, box)
    assert presence > 0.99
    assert landmark_error(mediapipe_to_68(mesh[:, :2]), moved) < 0.05
    again = looked_at(network, large, box, mirrored=True)[0]
    swapped = again[[263, 33, 1, 152], :2]
    np.testing.assert_allclose(swapped, mesh[[33, 263, 1, 152], :2], atol=25.)


def test_no_face_has_no_presence(network):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3),
                                              dtype=np.uint8)
    assert network(noise, Region(100., 100., 200.))[1] < 0.1
    assert network(noise, Region(900., 900., 100.)) is None


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mediapipe.python.solution_base', None)
    with pytest.raises(ImportError, match='--no-deps mediapipe'):
        MeshNetwork()
