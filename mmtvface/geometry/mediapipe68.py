# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From MediaPipe's face mesh to the 68 landmarks of iBUG 300-W.

MediaPipe Face Mesh (Kartynnik et al., CVPR Workshop 2019) gives 468 points
of a fixed topology. The 68 landmarks (Sagonas et al., ICCV Workshop 2013) lie
on or between some of them: an entry of the table with several vertices is
their mean. The two sides of the face mirror each other.

The mesh follows the surface of the head, whereas 2D annotations slide along
the jaw to the visible silhouette when the head turns: the 17 contour points
are therefore less exact on turned heads than the other 51. On five frames of
a TV series, turned by 10 to 25 degrees, the mean distance to given landmarks
(a test repeats it where the frames are) was, relative to the mean side of
their box:

======== ======= ====== ===== ===== ===== =====
part     contour brows  nose  eyes  lips  all
distance 4.9 %   2.6 %  2.1 % 1.6 % 1.4 % 2.6 %
======== ======= ====== ===== ===== ===== =====
"""

import numpy as np

NUM_MESH_POINTS = 468
#: With the two irises that the network with attention adds.
NUM_REFINED_POINTS = 478

#: Points of an iris: its centre, then its edge at the side of greater x of
#: the image, above, at the side of smaller x, and below. "Right" and "left"
#: are the person's own, here and below.
RIGHT_IRIS: tuple[int, ...] = (468, 469, 470, 471, 472)
LEFT_IRIS: tuple[int, ...] = (473, 474, 475, 476, 477)

#: The mapping, one row per landmark in iBUG order (the comment is its index):
#: its name ("right" and "left" are the person's own) and the vertices of the
#: mesh whose mean it is.
TABLE: tuple[tuple[str, tuple[int, ...]], ...] = (
    # 0-16 contour from the right ear over the chin to the left ear. The mesh's
    # outline; annotations slide to the visible silhouette when the head turns.
    ('right ear, top', (127, )),  # 0
    ('right ear, middle', (234, )),  # 1
    ('right ear, lobe', (93, 132)),  # 2
    ('right jaw, below the ear', (58, 132)),  # 3
    ('right jaw', (172, )),  # 4
    ('right jaw angle', (136, )),  # 5
    ('right jaw, towards the chin', (149, 150)),  # 6
    ('right chin, side', (148, 176)),  # 7
    ('chin, lowest point', (152, )),  # 8
    ('left chin, side', (377, 400)),  # 9
    ('left jaw, towards the chin', (378, 379)),  # 10
    ('left jaw angle', (365, )),  # 11
    ('left jaw', (397, )),  # 12
    ('left jaw, below the ear', (288, 361)),  # 13
    ('left ear, lobe', (323, 361)),  # 14
    ('left ear, middle', (454, )),  # 15
    ('left ear, top', (356, )),  # 16
    # 17-26 brows from image left to image right: the upper row of the mesh.
    ('right brow, outer end', (70, )),  # 17
    ('right brow, outer half', (63, )),  # 18
    ('right brow, middle', (105, )),  # 19
    ('right brow, inner half', (66, )),  # 20
    ('right brow, inner end', (107, )),  # 21
    ('left brow, inner end', (336, )),  # 22
    ('left brow, inner half', (296, )),  # 23
    ('left brow, middle', (334, )),  # 24
    ('left brow, outer half', (293, )),  # 25
    ('left brow, outer end', (300, )),  # 26
    # 27-30 bridge of the nose down to its tip: between vertices of the ridge.
    ('nose bridge, between the eyes', (6, 168)),  # 27
    ('nose bridge, upper half', (195, 197)),  # 28
    ('nose bridge, lower half', (4, 5)),  # 29
    ('nose tip', (1, 4)),  # 30
    # 31-35 below the nostrils, from image left to image right.
    ('right nostril, outer', (75, 98)),  # 31
    ('right nostril, inner', (97, )),  # 32
    ('nose base, middle', (2, )),  # 33
    ('left nostril, inner', (326, )),  # 34
    ('left nostril, outer', (305, 327)),  # 35
    # 36-47 eyes, clockwise from image left: the edges of the eyelids.
    ('right eye, outer corner', (33, )),  # 36
    ('right upper eyelid, outer', (160, )),  # 37
    ('right upper eyelid, inner', (158, )),  # 38
    ('right eye, inner corner', (133, )),  # 39
    ('right lower eyelid, inner', (153, )),  # 40
    ('right lower eyelid, outer', (144, )),  # 41
    ('left eye, inner corner', (362, )),  # 42
    ('left upper eyelid, inner', (385, )),  # 43
    ('left upper eyelid, outer', (387, )),  # 44
    ('left eye, outer corner', (263, )),  # 45
    ('left lower eyelid, outer', (373, )),  # 46
    ('left lower eyelid, inner', (380, )),  # 47
    # 48-59 outer lips, clockwise from image left: where red meets skin.
    ('mouth, right corner', (61, )),  # 48
    ('upper lip, right', (39, 40)),  # 49
    ("upper lip, right of the cupid's bow", (37, )),  # 50
    ('upper lip, middle', (0, )),  # 51
    ("upper lip, left of the cupid's bow", (267, )),  # 52
    ('upper lip, left', (269, 270)),  # 53
    ('mouth, left corner', (291, )),  # 54
    ('lower lip, left', (321, 405)),  # 55
    ('lower lip, left of the middle', (314, )),  # 56
    ('lower lip, middle', (17, )),  # 57
    ('lower lip, right of the middle', (84, )),  # 58
    ('lower lip, right', (91, 181)),  # 59
    # 60-67 inner lips, clockwise from image left: where the lips part.
    ('inner mouth, right corner', (78, )),  # 60
    ('inner upper lip, right', (81, 82)),  # 61
    ('inner upper lip, middle', (13, )),  # 62
    ('inner upper lip, left', (311, 312)),  # 63
    ('inner mouth, left corner', (308, )),  # 64
    ('inner lower lip, left', (317, 402)),  # 65
    ('inner lower lip, middle', (14, )),  # 66
    ('inner lower lip, right', (87, 178)),  # 67
)

#: Mesh vertices of every landmark.
MEDIAPIPE_68: tuple[tuple[int, ...], ...] = tuple(
    vertices for _, vertices in TABLE)

#: Closed outline of the face from the forehead's middle, clockwise in the
#: image.
FACE_OVAL: tuple[int, ...] = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379,
    378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127,
    162, 21, 54, 103, 67, 109)

_WIDTH = max(map(len, MEDIAPIPE_68))
_INDICES = np.array([entry + entry[-1:] * (_WIDTH - len(entry))
                     for entry in MEDIAPIPE_68])


def mediapipe_to_68(mesh: np.ndarray) -> np.ndarray:
    """Take the 68 iBUG landmarks out of a MediaPipe face mesh.

    Args:
        mesh: (..., 468 or 478, C) points of the mesh in any coordinates; the
            ten iris points of the refined mesh are not used.

    Returns:
        (..., 68, C).

    Raises:
        ValueError: If there are fewer than 468 points.
    """
    if mesh.ndim < 2 or mesh.shape[-2] < NUM_MESH_POINTS:
        raise ValueError(
            'mesh must have the shape (..., 468 or 478, C), but it is '
            f'{mesh.shape}.')
    return mesh[..., _INDICES, :].mean(-2)
