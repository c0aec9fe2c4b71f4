# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Detection of faces and their 68 landmarks in images."""

import warnings
from collections.abc import Callable
from types import TracebackType

import cv2
import numpy as np

from mmtvface.geometry.mediapipe68 import NUM_MESH_POINTS, mediapipe_to_68

from .face_backends.mediapipe_runtime import module, quiet
from .face_backends.search_areas import tiles

#: What finds faces: an (H, W, 3) uint8 RGB image in, one (68, 2) array of
#: pixel indices per face out. Any callable of this kind can replace
#: MediaPipe in :class:`mmtvface.apis.FaceReconstructor`.
LandmarkDetector = Callable[[np.ndarray], list[np.ndarray]]

# Crops handed to the mesh network are at least this large, in pixels.
_MIN_CROP = 256


class MediaPipeLandmarkDetector:
    """Faces by MediaPipe Face Mesh, as 68 landmarks each.

    The networks (short-range face detection and Face Mesh, Kartynnik et
    al., CVPR Workshop 2019) are inside the package: nothing is downloaded.
    Where the direct search finds no face, small and distant faces are looked
    for by the full-range detector and their surroundings enlarged (in single
    images also part by part, which is slower), then faces that fill the
    frame by adding a margin.

    Use it as a context manager or call :meth:`close`; it is not safe to
    share between threads.

    Args:
        video: The images are consecutive frames: faces are tracked, which
            is faster and steadier than searching each image anew.
        max_faces: Most faces per image.
        min_confidence: Threshold of detection and tracking in [0, 1].

    Raises:
        ImportError: If mediapipe is not installed.
    """

    def __init__(self, video: bool = False, max_faces: int = 4,
                 min_confidence: float = 0.5) -> None:
        with quiet():
            mesh = module('solutions.face_mesh')
            options = {'max_num_faces': max_faces,
                       'min_detection_confidence': min_confidence}
            self._still = mesh.FaceMesh(static_image_mode=True, **options)
            self._tracker = mesh.FaceMesh(
                static_image_mode=False,
                min_tracking_confidence=min_confidence,
                **options) if video else self._still
            self._far = module('solutions.face_detection').FaceDetection(
                min_detection_confidence=min_confidence, model_selection=1)
            # The graphs write their notices when they first run.
            blank = np.zeros((64, 64, 3), np.uint8)
            for graph in (self._still, self._tracker, self._far):
                graph.process(blank)

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Find the faces of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            One (68, 2) float64 array per face, pixel indices; parts of a
            face may lie outside the image.
        """
        return [mediapipe_to_68(mesh[:, :2]) for mesh in self.meshes(image)]

    def meshes(self, image: np.ndarray) -> list[np.ndarray]:
        """Find the full face meshes of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            One (468, 3) float64 array per face: x and y pixel indices, z in
            pixels, smaller nearer, relative to the head's centre.
        """
        image = np.ascontiguousarray(image)
        found = self._run(self._tracker, image)
        if not found and self._tracker is not self._still:
            found = self._run(self._still, image)
        return found or self._far_faces(image) or self._close_faces(image)

    @staticmethod
    def _run(graph, image: np.ndarray) -> list[np.ndarray]:  # noqa: ANN001
        height, width = image.shape[:2]
        with warnings.catch_warnings():
            # protobuf announces a method that mediapipe still calls
            warnings.simplefilter('ignore', UserWarning)
            faces = graph.process(image).multi_face_landmarks or []
        scale = np.array([width, height, width], np.float64)
        shift = np.array([0.5, 0.5, 0.])  # edges -> pixel centres
        return [np.array([(p.x, p.y, p.z) for p in
                          face.landmark[:NUM_MESH_POINTS]]) * scale - shift
                for face in faces]

    def _far_faces(self, image: np.ndarray) -> list[np.ndarray]:
        """Faces too small for the short-range detector."""
        squares = self._far_squares(image)
        if not squares and self._tracker is self._still:
            squares = [
                (x + left, y + top, side)
                for left, top, part in tiles(image)
                for x, y, side in self._far_squares(part)]
        meshes, seen = [], []
        for x, y, side in squares:
            # Tiles overlap, so that a face may be found in several.
            if any(np.hypot(x - u, y - v) < side / 2 for u, v in seen):
                continue
            seen.append((x, y))
            left, top = max(0, int(x - side)), max(0, int(y - side))
            part = image[top:int(y + side) + 1, left:int(x + side) + 1]
            if part.size:
                meshes += [mesh + [left, top, 0.]
                           for mesh in self._enlarged(part)[:1]]
        return meshes

    def _far_squares(self, image: np.ndarray
                     ) -> list[tuple[float, float, float]]:
        """Centre x, y and side of faces by the full-range detector."""
        height, width = image.shape[:2]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            found = self._far.process(
                np.ascontiguousarray(image)).detections or []
        boxes = [one.location_data.relative_bounding_box for one in found]
        return [((box.xmin + box.width / 2) * width,
                 (box.ymin + box.height / 2) * height,
                 max(box.width * width, box.height * height))
                for box in boxes]

    def _close_faces(self, image: np.ndarray) -> list[np.ndarray]:
        """Faces that fill the frame and are cut by its edge."""
        margin = max(image.shape[:2]) // 3
        padded = cv2.copyMakeBorder(image, *[margin] * 4,
                                    cv2.BORDER_CONSTANT, value=(0, 0, 0))
        return [mesh - [margin, margin, 0.] for mesh
                in self._enlarged(padded)]

    def _enlarged(self, image: np.ndarray) -> list[np.ndarray]:
        """Meshes of an image that is enlarged first if it is small."""
        zoom = max(1, -(-_MIN_CROP // min(image.shape[:2])))
        if zoom > 1:
            image = cv2.resize(image, None, fx=zoom, fy=zoom,
                               interpolation=cv2.INTER_CUBIC)
        shift = np.array([0.5, 0.5, 0.])
        return [(mesh + shift) / zoom - shift
                for mesh in self._run(self._still, image)]

    def close(self) -> None:
        """Free the networks."""
        for graph in {self._still, self._tracker, self._far}:
            graph.close()

    def __enter__(self) -> 'MediaPipeLandmarkDetector':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
