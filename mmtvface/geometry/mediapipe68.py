# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From MediaPipe's face mesh to the 68 landmarks of iBUG 300-W.

MediaPipe Face Mesh (Kartynnik et al., CVPR Workshop 2019) gives 468 points
of a fixed topology. The 68 landmarks (Sagonas et al., ICCV Workshop 2013) lie
on or between some of them: an entry of the table with several vertices is
their mean. The two sides of the face mirror each other.

The mesh follows the surface of the head, whereas 2D annotations slide along
the jaw to the visible silhouette when the head turns: the 17 contour points
are therefore less exact on turned heads than the other 51.
"""

import numpy as np

NUM_MESH_POINTS = 468

_CONTOUR_RIGHT = ((127, ), (234, ), (93, 132), (58, 132), (172, ), (136, ),
                  (149, 150), (148, 176))
_CONTOUR_LEFT = ((377, 400), (378, 379), (365, ), (397, ), (288, 361),
                 (323, 361), (454, ), (356, ))

#: Mesh vertices of every landmark, in iBUG order ("right" and "left" are the
#: person's own).
MEDIAPIPE_68: tuple[tuple[int, ...], ...] = (
    # 0-16 contour, from the right ear over the chin to the left ear
    *_CONTOUR_RIGHT, (152, ), *_CONTOUR_LEFT,
    # 17-21 right brow, 22-26 left brow, both from image left to right
    (70, ), (63, ), (105, ), (66, ), (107, ),
    (336, ), (296, ), (334, ), (293, ), (300, ),
    # 27-30 bridge of the nose down to its tip, 31-35 below the nostrils
    (6, 168), (195, 197), (4, 5), (1, 4),
    (75, 98), (97, ), (2, ), (326, ), (305, 327),
    # 36-41 right eye, 42-47 left eye, from image left, upper lid first
    (33, ), (160, ), (158, ), (133, ), (153, ), (144, ),
    (362, ), (385, ), (387, ), (263, ), (373, ), (380, ),
    # 48-59 outer lips from the right corner, upper lip first
    (61, ), (39, 40), (37, ), (0, ), (267, ), (269, 270),
    (291, ), (321, 405), (314, ), (17, ), (84, ), (91, 181),
    # 60-67 inner lips
    (78, ), (81, 82), (13, ), (311, 312),
    (308, ), (317, 402), (14, ), (87, 178))

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
