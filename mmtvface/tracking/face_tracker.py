# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tracks of all faces of a video, frame by frame, in constant memory."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmtvface.geometry.crop import landmark_box

from .detectors import (
    FaceDetection,
    FaceDetector,
    FaceLandmarks,
    LandmarkFollower,
    LandmarkFunction,
    build_detector,
)
from .detectors.boxes import (
    distances,
    is_among,
    mean_side,
    overlaps,
    without_repeats,
)
from .face_track import DETECTED, GIVEN, TrackedFace

#: Frames for which a face may be out of sight and keep its track.
MAX_GAP = 12

# Weight of the newest motion in the average that predicts the next one.
_MOTION_RATE = 0.4
# A match needs centres nearer than this, in units of the mean size ...
_REACH = 0.6
# ... plus this for every frame in which the face was out of sight.
_REACH_PER_GAP = 0.08
_MAX_SIZE_RATIO = 2.2
# A face that so many thorough searches in a row do not confirm is none.
_MAX_UNCONFIRMED = 2
# A lost face smaller than this, relative to the frame's longer side, is also
# looked for in a square around it, whose side is so many times its size: a
# search that is not thorough would miss it.
_SMALL, _SURROUNDINGS = 0.12, 4.


class _Track:
    """State of one track between frames."""

    def __init__(self, track_id: int,
                 follower: LandmarkFollower | None = None) -> None:
        self.track_id, self.follower = track_id, follower
        self.landmarks: FaceLandmarks | None = None  # None: out of sight
        self.box = np.zeros(4)
        self.motion = np.zeros(2)  # of the centre, pixels per frame
        self.gap = 0  # frames since it was seen
        self.unconfirmed = 0  # thorough searches since it was found by one
        self.searched = False
        self.origin = DETECTED

    def expected(self) -> np.ndarray:
        """(4,) box in the present frame, by its last motion."""
        return self.box + np.tile(self.motion * (self.gap + 1), 2)

    def hidden(self) -> np.ndarray:
        """(4,) likewise, of a lost track, whose gap counts that frame."""
        return self.box + np.tile(self.motion * self.gap, 2)

    def seen(self, landmarks: FaceLandmarks) -> None:
        box = np.array(landmark_box(landmarks.points))
        step = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2
        if self.box.any():
            steps = self.gap + 1
            keep = (1 - _MOTION_RATE)**steps
            self.motion = keep * self.motion + (1 - keep) * step / steps
        self.landmarks, self.box, self.gap = landmarks, box, 0

    def lost(self) -> None:
        self.landmarks = None
        self.gap += 1
        if self.follower is not None:
            self.follower.reset()


class FaceTracker:
    """Follows all faces of a video at once. A context manager.

    Every ``detect_every``-th frame is searched by the detector, and sooner
    when a face got lost or nobody is in sight; between searches the landmarks
    alone follow each face. The first frame of a shot and then every
    ``thorough_every``-th search is a thorough one. A face out of sight moves
    on with its last velocity; what is found there within ``max_gap`` frames
    gets its old number.
    Detections and tracks are matched with the least sum of costs (overlap and
    distance, ``scipy.optimize.linear_sum_assignment``). Where two tracks
    claim one face, the one that expected it there keeps it.

    Landmarks that are known (:meth:`update`) or come from a function take
    part in the same matching; nothing is searched or followed then.

    Args:
        detector: Finds faces and follows landmarks; it stays the caller's.
            Or a function of an image. Default: MediaPipe, started when it is
            first needed and freed by :meth:`close`.
        detect_every: Frames from one search to the next.
        max_faces: Most faces at once, larger ones first; 0: no limit.
        max_gap: Frames for which a face may be out of sight.
        min_score: Least score of a detection that begins a track.
        min_size: Least size (mean of width and height) of the box of a
            detection that begins a track, pixels.
        thorough_every: Searches from one thorough search to the next.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(self, detector: FaceDetector | LandmarkFunction | None = None,
                 detect_every: int = 5, max_faces: int = 0,
                 max_gap: int = MAX_GAP,
                 min_score: float = 0.5, min_size: float = 0.,
                 thorough_every: int = 10) -> None:
        for name, value, least in (
                ('detect_every', detect_every, 1), ('max_faces', max_faces, 0),
                ('max_gap', max_gap, 0), ('min_size', min_size, 0),
                ('thorough_every', thorough_every, 1)):
            if value < least:
                raise ValueError(f'{name} must be at least {least}, got '
                                 f'{value}.')
        self._is_own = detector is None
        self._detector = (detector if isinstance(detector, FaceDetector)
                          else None)
        self._function = None if self._is_own or self._detector else detector
        self._detect_every, self._max_faces = detect_every, max_faces
        self._max_gap, self._thorough_every = max_gap, thorough_every
        self._min_score, self._min_size = min_score, min_size
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._size: tuple[int, int] | None = None
        self._unsearched = 0  # frames since the last search
        self._searches = 0  # of this shot

    def update(self, image: np.ndarray | None, cut: bool = False,
               known: Sequence[np.ndarray] | None = None
               ) -> list[TrackedFace]:
        """Take the next frame.

        Args:
            image: (H, W, 3) uint8 RGB; None if it cannot be read.
            cut: The frame begins another shot: all tracks end before it. So
                does a change of the frame's size.
            known: (68, 2) landmarks of its faces in pixel indices, if they
                are known.

        Returns:
            The faces of this frame, by their numbers.

        Raises:
            ImportError: If MediaPipe is needed and not installed.
        """
        self._prepare(None if image is None else image.shape[:2], cut)
        if image is None:
            for track in self._tracks:
                track.lost()
        elif known is not None:
            self._take(known, GIVEN)
        elif self._function is not None:
            self._take(self._function(image), DETECTED)
        else:
            if self._detector is None:
                self._detector = build_detector()
            self._follow(image)
            if self._is_search_due():
                self._search(image,
                             self._searches % self._thorough_every == 0)
                self._searches, self._unsearched = self._searches + 1, 0
            self._unsearched += 1
        self._end_lost()
        return [TrackedFace(track.track_id, track.landmarks, track.origin,
                            track.searched)
                for track in self._tracks if track.landmarks is not None]

    def replay(self, faces: Sequence[TrackedFace],
               size: tuple[int, int] | None, cut: bool = False) -> None:
        """Take a frame of an earlier run, whose faces go on with it.

        Args:
            faces: Of the frame.
            size: Its height and width; None if it could not be read.
            cut: See :meth:`update`.
        """
        self._prepare(size, cut)
        known = {track.track_id: track for track in self._tracks}
        for track in self._tracks:
            track.lost()
        for face in faces:
            if track := known.get(face.track_id):
                track.gap -= 1
            else:
                track = self._add(_Track(face.track_id))
            track.seen(face.landmarks)
        self._end_lost()

    def _prepare(self, size: tuple[int, int] | None, cut: bool) -> None:
        """End all tracks before another shot or size of the frames."""
        if cut or size not in (None, self._size):
            self._end(self._tracks)
            self._size = size
            self._unsearched = self._searches = 0

    def _end_lost(self) -> None:
        self._end([track for track in self._tracks
                   if track.gap > self._max_gap
                   or track.unconfirmed >= _MAX_UNCONFIRMED])

    def _add(self, track: _Track) -> _Track:
        self._next_id = max(self._next_id, track.track_id + 1)
        self._tracks.append(track)
        return track

    def _take(self, faces: Sequence[np.ndarray], origin: str) -> None:
        """Give landmarks to the tracks nearby; the others begin new ones."""
        points = [np.asarray(face, np.float64)[:, :2] for face in faces
                  if np.isfinite(face).all() and np.ptp(face, 0).min() > 0]
        landmarks = {FaceDetection(np.array(landmark_box(face)), 1.):
                     FaceLandmarks(face) for face in points}
        found = without_repeats(list(landmarks))
        for track in self._tracks:
            track.lost()
        owners = {face: track for track, face in self._match(found)}
        for face in found:
            if track := owners.get(face):
                track.gap -= 1  # lost() has counted the present frame
            elif 0 < self._max_faces <= len(self._boxes()):
                continue
            else:
                track = self._add(_Track(self._next_id))
            track.seen(landmarks[face])
            track.origin, track.searched = origin, True

    def _is_search_due(self) -> bool:
        gaps = [track.gap for track in self._tracks]
        if all(gaps) or self._unsearched % self._detect_every == 0:
            return True
        # For a lost face at once, then in every second frame, which is soon
        # enough, but for the last chance.
        return (1 in gaps or any(gaps) and self._unsearched >= 2
                or self._max_gap + 1 in gaps)

    def _follow(self, image: np.ndarray) -> None:
        """Move on the tracks that are in sight."""
        claims = []
        for track in self._tracks:
            track.searched, track.origin = False, DETECTED
            expected = track.expected()
            if track.landmarks is None:
                track.gap += 1
                continue
            eyes = None
            if track.follower is None:  # of landmarks that were known
                track.follower, points = (self._detector.follower(),
                                          track.landmarks.points)
                eyes = points[36:48].reshape(2, 6, 2).mean(1)
            landmarks = track.follower.follow(image, expected, eyes)
            if landmarks is None:
                track.lost()
                continue
            box = np.array(landmark_box(landmarks.points))
            claims.append((float(distances(expected[None], box[None])[0, 0]),
                           track, landmarks, box))
        # The best prediction has the first claim to a face.
        taken: list[np.ndarray] = []
        for _, track, landmarks, box in sorted(claims, key=lambda c: c[0]):
            if is_among(box, taken):
                track.lost()
            else:
                taken.append(box)
                track.seen(landmarks)

    def _search(self, image: np.ndarray, thorough: bool) -> None:
        """Confirm tracks, find lost ones again, and begin new ones."""
        found = self._detector.detect(image, thorough)
        if not thorough:
            for track in self._tracks:
                if track.landmarks is None:
                    found = without_repeats(
                        self._search_around(image, track), found)
        found = [face for face in found
                 if (face.box[2:] > face.box[:2]).all()]
        if thorough:
            for track in self._tracks:
                track.unconfirmed += 1
        matches = self._match(found)
        # Tracks in sight first: what they cover is no new face.
        for track, face in sorted(
                matches, key=lambda match: match[0].landmarks is None):
            if track.landmarks is not None:
                track.searched, track.unconfirmed = True, 0
            elif (landmarks := self._look(image, face, track)):
                # lost() and _follow() have counted the present frame.
                track.gap -= 1
                track.seen(landmarks)
                track.searched, track.unconfirmed = True, 0
        matched = {id(face) for _, face in matches}
        new = [face for face in found if id(face) not in matched
               and face.score >= self._min_score
               and mean_side(face.box) >= self._min_size]
        for face in sorted(new, key=lambda one: -mean_side(one.box)):
            if 0 < self._max_faces <= len(self._boxes()):
                break
            if not is_among(face.box, self._boxes()):
                self._begin(image, face)

    def _search_around(self, image: np.ndarray,
                       track: _Track) -> list[FaceDetection]:
        """Search where a small face that is out of sight may be."""
        box, size = track.hidden(), mean_side(track.box)
        if size > _SMALL * max(image.shape[:2]):
            return []
        left, top, right, bottom = (
            np.tile((box[:2] + box[2:]) / 2, 2) +
            np.array([-.5, -.5, .5, .5]) * _SURROUNDINGS * size
        ).astype(int).tolist()
        left, top = max(left, 0), max(top, 0)
        part = image[top:max(bottom, 0), left:max(right, 0)]
        if not part.size:
            return []
        shift = np.array([left, top])
        return [FaceDetection(
            face.box + np.tile(shift, 2), face.score,
            None if face.keypoints is None else face.keypoints + shift)
            for face in self._detector.detect(part, thorough=False)]

    def _match(self, found: Sequence[FaceDetection]
               ) -> list[tuple[_Track, FaceDetection]]:
        """Pairs of tracks and detections with the least sum of costs."""
        if not found or not self._tracks:
            return []
        expected = np.stack([
            track.box if track.landmarks is not None else track.hidden()
            for track in self._tracks])
        boxes = np.stack([face.box for face in found])
        apart = distances(expected, boxes)
        reach = _REACH + _REACH_PER_GAP * np.array(
            [track.gap for track in self._tracks])
        sizes = [np.maximum((b[:, 2:] - b[:, :2]).mean(1), 1e-9)
                 for b in (expected, boxes)]
        ratio = np.abs(np.log(sizes[0][:, None] / sizes[1][None]))
        allowed = (apart < reach[:, None]) & (ratio < np.log(_MAX_SIZE_RATIO))
        # Distances of lost tracks count less: their place is less certain.
        cost = 1 - overlaps(expected, boxes) + apart / reach[:, None] + ratio
        rows, columns = linear_sum_assignment(np.where(allowed, cost, 1e3))
        return [(self._tracks[row], found[column])
                for row, column in zip(rows, columns, strict=True)
                if allowed[row, column]]

    def _look(self, image: np.ndarray, face: FaceDetection,
              track: _Track) -> FaceLandmarks | None:
        """Landmarks at a detection, unless another track has them."""
        if track.follower is None:
            track.follower = self._detector.follower()
        track.follower.reset()
        landmarks = track.follower.follow(image, face.box, face.keypoints)
        if landmarks is not None and is_among(
                np.array(landmark_box(landmarks.points)), self._boxes()):
            track.follower.reset()
            return None
        return landmarks

    def _begin(self, image: np.ndarray, face: FaceDetection) -> None:
        track = _Track(self._next_id)
        landmarks = self._look(image, face, track)
        if landmarks is None:
            track.follower.close()
            return
        self._add(track)
        track.seen(landmarks)
        track.searched = True

    def _boxes(self) -> list[np.ndarray]:
        return [track.box for track in self._tracks
                if track.landmarks is not None]

    def _end(self, tracks: Sequence[_Track]) -> None:
        for track in tracks:
            if track.follower is not None:
                track.follower.close()
        self._tracks = [track for track in self._tracks
                        if track not in tracks]

    def close(self) -> None:
        """End all tracks, and free the detector unless it is the caller's."""
        self._end(self._tracks)
        if self._is_own and self._detector is not None:
            self._detector.close()
            self._detector = None

    def __enter__(self) -> 'FaceTracker':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
