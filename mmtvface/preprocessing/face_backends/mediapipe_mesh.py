# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The network of MediaPipe Face Mesh as a function of a region.

MediaPipe's own solution keeps the region of the last frame inside its graph:
one graph per face, no score, no way to say where to look. Here the network
alone (Kartynnik et al., CVPR Workshop 2019; it is inside the package, nothing
is downloaded) sees a region that is cut out by :func:`cut_region`; so one
graph serves any number of faces, and says how sure it is that it saw one.
"""

from typing import NamedTuple

import cv2
import numpy as np

from mmtvface.geometry.mediapipe68 import NUM_MESH_POINTS

from .mediapipe_runtime import module, quiet

_SIDE = 192  # of the network's input, pixels
# Side of the region relative to the longer side of the mesh or box, as in
# MediaPipe's own graph, which the network was trained with.
_MARGIN = 1.5
_EYE_CORNERS = (33, 263)  # outer ones: right eye, left eye
_MODEL = 'mediapipe/modules/face_landmark/face_landmark.tflite'

_GRAPH = f"""
input_stream: "image"
output_stream: "points"
output_stream: "presence"
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
  output_stream: "TENSORS:output"
  options {{ [mediapipe.InferenceCalculatorOptions.ext] {{
    delegate {{ xnnpack {{ num_threads: %d }} }} }} }}
}}
node {{
  calculator: "SplitTensorVectorCalculator"
  input_stream: "output"
  output_stream: "point_tensor"
  output_stream: "presence_tensor"
  options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{
    ranges {{ begin: 0 end: 1 }} ranges {{ begin: 1 end: 2 }} }} }}
}}
node {{
  calculator: "TensorsToFloatsCalculator"
  input_stream: "TENSORS:point_tensor"
  output_stream: "FLOATS:points"
}}
node {{
  calculator: "TensorsToFloatsCalculator"
  input_stream: "TENSORS:presence_tensor"
  output_stream: "FLOAT:presence"
  options {{ [mediapipe.TensorsToFloatsCalculatorOptions.ext] {{
    activation: SIGMOID }} }}
}}
"""


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
        mesh: (468, 2 or more) pixel indices.
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
    """Face Mesh without its graph's memory. Not safe between threads.

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
                graph_config=_GRAPH % num_threads,
                stream_type_hints={'image': kind.IMAGE_FRAME,
                                   'points': kind.FLOAT_LIST,
                                   'presence': kind.FLOAT})
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
            (468, 3) float64 mesh, x and y pixel indices and z in pixels, and
            the probability that the region shows a face; None if the region
            misses the image.
        """
        cut = cut_region(image, region)
        if cut is None:
            return None
        pixels, back = cut
        if mirrored:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        result = self._graph.process(pixels)
        raw = np.array(result.points, np.float64).reshape(NUM_MESH_POINTS, 3)
        if mirrored:
            raw[:, 0] = _SIDE - raw[:, 0]
        mesh = np.empty_like(raw)
        mesh[:, :2] = (raw[:, :2] - .5) @ back[:, :2].T + back[:, 2]
        mesh[:, 2] = raw[:, 2] * (region.side / _SIDE)
        return mesh, float(result.presence)

    def close(self) -> None:
        """Free the network."""
        self._graph.close()
