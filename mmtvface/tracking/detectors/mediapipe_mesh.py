# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The network of MediaPipe Face Mesh as a function of a region.

MediaPipe's own solution keeps the region of the last frame inside its graph:
one graph per face, no score, no way to say where to look. Here the network
alone sees a region that is cut out by :func:`cut_region`; so one graph serves
any number of faces, and says how sure it is that it saw one.

It is the network with attention (Grishchenko et al., CVPR Workshop 2020, on
the mesh of Kartynnik et al., CVPR Workshop 2019; it is inside the package,
nothing is downloaded): besides the mesh it places the lips, the eyes with
their surroundings and the irises anew, without which eyelids hardly move.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmtvface.geometry.mediapipe68 import (
    LEFT_IRIS,
    NUM_MESH_POINTS,
    NUM_REFINED_POINTS,
    RIGHT_IRIS,
)

from .mediapipe_runtime import module, quiet

_SIDE = 192  # of the network's input, pixels
# Side of the region relative to the longer side of the mesh or box, as in
# MediaPipe's own graph, which the network was trained with.
_MARGIN = 1.5
_EYE_CORNERS = (33, 263)  # outer ones: right eye, left eye
_MODEL = 'mediapipe/modules/face_landmark/face_landmark_with_attention.tflite'

# Vertices of the mesh in the order of the network's further outputs. Lips:
# four rings from the outer to the inner edge of the red (outer, inner, then
# the two between them), of each the lower row from the right to the left
# corner and the upper row without the corners.
_LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291,
    185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308,
    191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306,
    184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292,
    183, 42, 41, 38, 12, 268, 271, 272, 407)
# Eyes: the edge of the eyelids (16 points), then wider and wider rings
# around it, with the brow.
_RIGHT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133,
    246, 161, 160, 159, 158, 157, 173,
    130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190,
    226, 31, 228, 229, 230, 231, 232, 233, 244,
    113, 225, 224, 223, 222, 221, 189,
    35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245,
    156, 70, 63, 105, 66, 107, 55, 193)
_LEFT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362,
    466, 388, 387, 386, 385, 384, 398,
    359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258,
    286, 414, 446, 261, 448, 449, 450, 451, 452, 453, 464,
    342, 445, 444, 443, 442, 441, 413,
    265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357,
    465, 383, 300, 293, 334, 296, 336, 285, 417)
_NUM_EYELID_POINTS = 16  # the first ones of an eye

# The outputs in their order, and the vertices whose x and y they are.
# MediaPipe calls the eye on the left of the image, the person's right one,
# the left eye.
_PARTS: dict[str, tuple[int, ...]] = {
    'lips': _LIPS, 'right_eye': _RIGHT_EYE, 'left_eye': _LEFT_EYE,
    'right_iris': RIGHT_IRIS, 'left_iris': LEFT_IRIS}
_LISTS = ('mesh', *_PARTS)


def _graph(num_threads: int) -> str:
    """The network's graph: an image in; :data:`_LISTS` and 'presence' out."""
    outputs = (*_LISTS, 'presence')
    floats = '\n'.join(f"""
node {{
  calculator: "TensorsToFloatsCalculator"
  input_stream: "TENSORS:{name}_tensor"
  output_stream: "FLOATS:{name}"
}}""" for name in _LISTS)
    splits = ' '.join(f'ranges {{ begin: {i} end: {i + 1} }}'
                      for i in range(len(outputs)))
    streams = '\n'.join(f'output_stream: "{name}"' for name in outputs)
    tensors = '\n'.join(f'output_stream: "{name}_tensor"' for name in outputs)
    return f"""
input_stream: "image"
{streams}
node {{
  calculator: "ConstantSidePacketCalculator"
  output_side_packet: "PACKET:path"
  options {{ [mediapipe.ConstantSidePacketCalculatorOptions.ext] {{
    packet {{ string_value: "{_MODEL}" }} }} }}
}}
node {{
  calculator: "LocalFileContentsCalculator"
  input_side_packet: "FILE_PATH:path"
  output_side_packet: "CONTENTS:blob"
}}
node {{
  calculator: "TfLiteModelCalculator"
  input_side_packet: "MODEL_BLOB:blob"
  output_side_packet: "MODEL:model"
}}
node {{
  calculator: "TfLiteCustomOpResolverCalculator"
  output_side_packet: "OP_RESOLVER:operators"
}}
node {{
  calculator: "ImageToTensorCalculator"
  input_stream: "IMAGE:image"
  output_stream: "TENSORS:input"
  options {{ [mediapipe.ImageToTensorCalculatorOptions.ext] {{
    output_tensor_width: {_SIDE}
    output_tensor_height: {_SIDE}
    output_tensor_float_range {{ min: 0 max: 1 }} }} }}
}}
node {{
  calculator: "InferenceCalculatorCpu"
  input_stream: "TENSORS:input"
  input_side_packet: "MODEL:model"
  input_side_packet: "OP_RESOLVER:operators"
  output_stream: "TENSORS:output"
  options {{ [mediapipe.InferenceCalculatorOptions.ext] {{
    delegate {{ xnnpack {{ num_threads: {num_threads} }} }} }} }}
}}
node {{
  calculator: "SplitTensorVectorCalculator"
  input_stream: "output"
  {tensors}
  options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {splits} }} }}
}}
{floats}
node {{
  calculator: "TensorsToFloatsCalculator"
  input_stream: "TENSORS:presence_tensor"
  output_stream: "FLOAT:presence"
  options {{ [mediapipe.TensorsToFloatsCalculatorOptions.ext] {{
    activation: SIGMOID }} }}
}}
"""


def refined_mesh(outputs: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Put the network's outputs together to one mesh.

    Lips, eyes and irises have x and y of their own. Depth is that of the
    mesh; that of an iris is the mean of its eyelids' edge, so it says
    nothing about the gaze.

    Args:
        outputs: 'mesh' (468 x, y, z in turn), 'lips' (80 x, y in turn),
            'right_eye' and 'left_eye' (71 each), 'right_iris' and
            'left_iris' (5 each), in pixels of the network's input.

    Returns:
        (478, 3) float64, likewise.
    """
    mesh = np.empty((NUM_REFINED_POINTS, 3))
    mesh[:NUM_MESH_POINTS] = np.reshape(outputs['mesh'], (-1, 3))
    for name, vertices in _PARTS.items():
        mesh[list(vertices), :2] = np.reshape(outputs[name], (-1, 2))
    for iris, eye in ((RIGHT_IRIS, _RIGHT_EYE), (LEFT_IRIS, _LEFT_EYE)):
        mesh[list(iris), 2] = mesh[list(eye[:_NUM_EYELID_POINTS]), 2].mean()
    return mesh


class Region(NamedTuple):
    """A square of the image, turned with the head.

    Attributes:
        x: Of the centre, pixel index.
        y: Of the centre, pixel index.
        side: Pixels.
        angle: Radians by which the head is turned clockwise in the image.
    """

    x: float
    y: float
    side: float
    angle: float = 0.

    def matrix(self) -> np.ndarray:
        """(2, 3): indices of the image -> indices of the network's input."""
        factor = _SIDE / self.side
        cos, sin = factor * np.cos(self.angle), factor * np.sin(self.angle)
        middle = (_SIDE - 1) / 2
        return np.array([
            [cos, sin, middle - cos * self.x - sin * self.y],
            [-sin, cos, middle + sin * self.x - cos * self.y]])


def region_of_box(box: np.ndarray, keypoints: np.ndarray | None = None
                  ) -> Region:
    """Where the network should look for the face in a box.

    Args:
        box: (4,) left, top, right, bottom.
        keypoints: (2 or more, 2) right and left eye, to turn the region.
    """
    left, top, right, bottom = (float(value) for value in box)
    angle = 0.
    if keypoints is not None:
        across = keypoints[1] - keypoints[0]
        angle = float(np.arctan2(across[1], across[0]))
    return Region((left + right) / 2, (top + bottom) / 2,
                  max(_MARGIN * max(right - left, bottom - top), 1.), angle)


def region_of_mesh(mesh: np.ndarray) -> Region:
    """Where the network should look, knowing the mesh of the last frame.

    Args:
        mesh: (468 or 478, 2 or more) pixel indices.
    """
    points = mesh[:, :2]
    across = points[_EYE_CORNERS[1]] - points[_EYE_CORNERS[0]]
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = points @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2
    return Region(float(cos * x - sin * y), float(sin * x + cos * y),
                  max(_MARGIN * float((high - low).max()), 1.), angle)


def cut_region(image: np.ndarray, region: Region
               ) -> tuple[np.ndarray, np.ndarray] | None:
    """The network's input, black where the region leaves the image.

    Args:
        image: (H, W, 3) uint8.
        region: What to cut out.

    Returns:
        (192, 192, 3) uint8 and the (2, 3) matrix from its pixel indices to
        those of the image; None if the region misses the image.
    """
    matrix = region.matrix()
    back = cv2.invertAffineTransform(matrix)
    corners = back @ np.array([[-.5, _SIDE - .5, _SIDE - .5, -.5],
                               [-.5, -.5, _SIDE - .5, _SIDE - .5],
                               [1., 1., 1., 1.]])
    left, top = np.maximum(np.floor(corners.min(1)).astype(int) - 1, 0)
    right, bottom = (np.ceil(corners.max(1)).astype(int) + 2 +
                     int(region.side / _SIDE))
    part = image[top:max(bottom, 0), left:max(right, 0)]
    if not part.size:
        return None
    shrink = min(int(region.side / _SIDE), *part.shape[:2])
    if shrink > 1:  # else bilinear sampling skips pixels of large faces
        height, width = (length // shrink for length in part.shape[:2])
        # OpenCV is ten times faster where the ratio is a whole number.
        part = cv2.resize(part[:height * shrink, :width * shrink],
                          (width, height), interpolation=cv2.INTER_AREA)
    shrink = max(shrink, 1)
    # index in the part -> index in the image -> index in the input
    to_image = np.array([[shrink, 0., left + (shrink - 1) / 2],
                         [0., shrink, top + (shrink - 1) / 2],
                         [0., 0., 1.]])
    cut = cv2.warpAffine(part, matrix @ to_image, (_SIDE, _SIDE),
                         flags=cv2.INTER_LINEAR)
    return cut, back


class MeshNetwork:
    """Face Mesh with attention, without its graph's memory.

    Not safe between threads.

    Args:
        num_threads: Of the network. Several processes on the cores are
            faster than several threads.

    Raises:
        ImportError: If mediapipe is not installed.
    """

    def __init__(self, num_threads: int = 1) -> None:
        with quiet():
            base = module('solution_base')
            kind = base.PacketDataType
            self._graph = base.SolutionBase(
                graph_config=_graph(num_threads),
                stream_type_hints={
                    'image': kind.IMAGE_FRAME, 'presence': kind.FLOAT,
                    **dict.fromkeys(_LISTS, kind.FLOAT_LIST)})
            self._graph.process(np.zeros((_SIDE, _SIDE, 3), np.uint8))

    def __call__(self, image: np.ndarray, region: Region,
                 mirrored: bool = False
                 ) -> tuple[np.ndarray, float] | None:
        """The mesh of the face in a region.

        Args:
            image: (H, W, 3) uint8 RGB.
            region: Square around the face.
            mirrored: Show the network the mirrored picture. The points come
                back where they are in the image as it is; those of the
                person's right side then lie on the left side.

        Returns:
            (478, 3) float64 mesh, x and y pixel indices and z in pixels
            (smaller nearer, relative to the head's centre), and the
            probability that the region shows a face; None if the region
            misses the image.
        """
        cut = cut_region(image, region)
        if cut is None:
            return None
        pixels, back = cut
        if mirrored:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        result = self._graph.process(pixels)
        raw = refined_mesh({name: getattr(result, name) for name in _LISTS})
        if mirrored:
            raw[:, 0] = _SIDE - raw[:, 0]
        mesh = np.empty_like(raw)
        mesh[:, :2] = (raw[:, :2] - .5) @ back[:, :2].T + back[:, 2]
        mesh[:, 2] = raw[:, 2] * (region.side / _SIDE)
        return mesh, float(result.presence)

    def close(self) -> None:
        """Free the network."""
        self._graph.close()
