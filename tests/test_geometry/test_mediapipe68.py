# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.geometry.landmarks import MIRROR
from mmtvface.geometry.mediapipe68 import (
    FACE_OVAL,
    MEDIAPIPE_68,
    TABLE,
    mediapipe_to_68,
)


def test_table_takes_vertices_or_their_mean():
    mesh = np.arange(478 * 3, dtype=float).reshape(478, 3)
    points = mediapipe_to_68(mesh)
    assert points.shape == (68, 3)
    np.testing.assert_allclose(points[8], mesh[152])  # chin
    np.testing.assert_allclose(points[36], mesh[33])  # right eye, outer
    np.testing.assert_allclose(points[2], (mesh[93] + mesh[132]) / 2)


def test_batches_equal_single_meshes():
    meshes = np.random.default_rng(0).normal(size=(2, 3, 468, 2))
    points = mediapipe_to_68(meshes)
    np.testing.assert_array_equal(points[1, 2], mediapipe_to_68(meshes[1, 2]))


def test_table_has_distinct_entries_and_is_mirrored():
    flat = [vertex for entry in MEDIAPIPE_68 for vertex in entry]
    assert len(set(MEDIAPIPE_68)) == 68
    assert 0 <= min(flat) and max(flat) < 468
    # Mirrored landmarks are made of equally many vertices.
    sizes = [len(entry) for entry in MEDIAPIPE_68]
    assert sizes == [sizes[i] for i in MIRROR]


def test_contour_lies_on_the_oval_in_its_order():
    place = [np.mean([FACE_OVAL.index(v) for v in MEDIAPIPE_68[landmark]])
             for landmark in range(17)]
    # From the right ear over the chin to the left ear the oval runs back.
    assert (np.diff(place) < 0).all()
    assert place[8] == FACE_OVAL.index(152)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match=r'468 or 478.*\(467, 3\)'):
        mediapipe_to_68(np.zeros((467, 3)))


def test_names_are_of_the_landmarks():
    names = [name for name, _ in TABLE]
    assert len(set(names)) == 68
    # A landmark's mirror image has the name of the other side.
    for name, other in zip(names, [names[i] for i in MIRROR], strict=True):
        swapped = name.replace('left', '*').replace('right', 'left')
        assert swapped.replace('*', 'right') == other
    for index, name in ((8, 'chin, lowest point'), (30, 'nose tip'),
                        (36, 'right eye, outer corner'),
                        (45, 'left eye, outer corner'),
                        (48, 'mouth, right corner'),
                        (57, 'lower lip, middle')):
        assert names[index] == name
