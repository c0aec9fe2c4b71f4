# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Maximum a posteriori refinement of the codes of a track.

Codes are Gauss-Markov processes around what the network says, landmarks are
measurements of the posed head. Two things keep the measurements from being
believed too much. Errors of neighbouring landmarks go together (a whole eye
is marked too high), so that gaps between eyelids and lips are known much
better than places; and they are the same in all frames (the detector's points
are not the head's points), so that a hundred frames say hardly more about a
person than a few.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from mmtvface.evaluation.functional import box_size
from mmtvface.geometry.landmarks import CONTOUR, STATIC
from mmtvface.heads import FLAME, LandmarkHead
from mmtvface.heads.landmark_head import CAMERA, POSE

from .chain import markov_prior, solve_chain
from .landmark_errors import biweight, landmark_covariance, shaking

_LEAST_KNOWN = 12  # inner landmarks of a frame that counts
_LEAST_WEIGHT = 1e-8
_CHUNK = 128  # frames whose derivatives are in memory


@dataclass(frozen=True)
class RefineSettings:
    """What is believed about the errors of codes and landmarks.

    All are standard deviations but for the times, counts and the reach.

    Attributes:
        steps: Gauss-Newton steps.
        shared: Error that neighbouring landmarks share, fraction of the size
            of their box.
        lasting: The same of errors that stay in all frames: what the shape
            must not be blamed for.
        reach: Distance at which errors are shared to the degree exp(-1/2),
            fraction of the box.
        own: Least error of each landmark by itself, fraction of the box;
            more where the landmarks shake more, see :func:`shaking`.
        contour: The same of the 17 points of the outline, which slide along
            it. They tell the pose, not the person.
        rotation: Radians, of the head.
        jaw: Radians.
        scale: Relative, of the camera.
        shift: Metres, of the camera.
        shape: Of a coefficient.
        size: Relative, of the neutral head's size, which no weak-perspective
            picture shows.
        expression: Of a coefficient.
        pose_time: Seconds in which errors of head pose and camera change.
        face_time: Seconds in which those of jaw and expression change.
        views: Frames that the landmarks of a track are worth for the shape.
        identity_frames: Most frames, spread over a track, that the shape is
            refined on.
        familiar: Error of the landmarks of the network's codes, see
            :func:`misses`, beyond ``own`` (in x and y), at which its identity
            is believed by half. Where it misses them by more, the pictures
            are not like those of its training, and what it says of the person
            is soon not believed.
    """

    steps: int = 2
    shared: float = .02
    lasting: float = .04
    reach: float = .12
    own: float = .008
    contour: float = .06
    rotation: float = .2
    jaw: float = .2
    scale: float = .15
    shift: float = .02
    shape: float = .4
    size: float = .005
    expression: float = .5
    pose_time: float = .5
    face_time: float = .15
    views: float = 2.
    identity_frames: int = 40
    familiar: float = .02

    def believing(self, points: torch.Tensor,
                  frame_indices: torch.Tensor | None = None
                  ) -> 'RefineSettings':
        """These settings, with the error that landmarks of a track show.

        Args:
            points: (T, 68, 2), see :func:`~.landmark_errors.shaking`.
            frame_indices: (T,) increasing; default: successive ones.
        """
        if frame_indices is None:
            frame_indices = torch.arange(len(points))
        return replace(self, own=max(self.own, shaking(points, frame_indices)))

    def trust(self, missed: float) -> float:
        """How far the network's identity is believed, 0..1.

        Args:
            missed: See :func:`misses`.
        """
        if math.isnan(missed):
            return 1.
        # What landmarks are off by themselves is not the network's fault.
        squared = max(0., missed**2 - 2 * self.own**2)
        return 1 / (1 + (squared / self.familiar**2)**4)

    def deviations(self, head: LandmarkHead) -> torch.Tensor:
        """(D,) standard deviations of a state's errors, float64."""
        expression = head.size - head.num_shape - POSE - CAMERA
        return torch.tensor(
            [self.shape] * head.num_shape + [self.rotation] * 3
            + [self.jaw] * 3 + [self.scale] + [self.shift] * 2
            + [self.expression] * expression, dtype=torch.float64)

    def times(self, head: LandmarkHead) -> torch.Tensor:
        """(D - S,) seconds in which the errors change, without the shape."""
        expression = head.size - head.num_shape - POSE - CAMERA
        return torch.tensor(
            [self.pose_time] * 3 + [self.face_time] * 3
            + [self.pose_time] * CAMERA + [self.face_time] * expression,
            dtype=torch.float64)


class _Problem:
    """The least-squares problem of some frames of a track.

    Args:
        head: Landmarks of the head model.
        state: (T, D).
        points: (T, 68, 2) NDC, NaN where unknown.
        settings: Deviations.
        person: For the shape: without the contour, with lasting errors.
    """

    def __init__(self, head: LandmarkHead, state: torch.Tensor,
                 points: torch.Tensor, settings: RefineSettings,
                 person: bool) -> None:
        self.head, self.state = head, state
        known = points.isfinite().all(-1)
        # Of a few landmarks, neither size nor place of a face is known.
        known &= known[:, list(STATIC)].sum(1, keepdim=True) >= _LEAST_KNOWN
        self.points = points.nan_to_num()
        size = box_size(self.points, known).clamp(min=1e-6)
        self.scale = torch.where(size.isfinite(), 1 / size, 0.)
        if person:
            known[:, list(CONTOUR)] = False
        self.known = known
        self.deviations = settings.deviations(head)
        mean = torch.zeros(1, head.size, dtype=head.dtype)
        layout = head.points(mean, head.contour_rows(mean))
        self.shared, self.own = (
            part.to(state.dtype) for part in landmark_covariance(
                (layout / box_size(layout)[:, None, None])[0],
                settings.lasting if person else settings.shared,
                settings.reach, settings.own, settings.contour))
        self.sigma = (self.shared.diag() + self.own).sqrt()

    def blocks(self, correction: torch.Tensor, first: int = 0,
               check_cancelled: Callable[[], None] = lambda: None
               ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hessian (T, d, d) and gradient (T, d) of the landmarks' part.

        In units of the deviations, float64, at ``state`` + correction
        (T, D) times the deviations, for its entries from ``first`` on;
        weights of outliers as of this place.
        """
        moved = (self.state.double() + correction * self.deviations).to(
            self.state.dtype)
        parts = []
        for start in range(0, len(moved), _CHUNK):
            check_cancelled()
            parts.append(self._chunk(
                moved[start:start + _CHUNK],
                slice(start, start + _CHUNK), first))
        hessian, gradient = zip(*parts, strict=True)
        return torch.cat(hessian), torch.cat(gradient)

    def _chunk(self, state: torch.Tensor, part: slice, first: int
               ) -> tuple[torch.Tensor, torch.Tensor]:
        points, slopes = self.head.linearise(
            state, self.head.contour_rows(state), first)
        scale = self.scale[part, None, None]
        residual = (points - self.points[part]) * scale
        weight = biweight(residual.norm(dim=-1) / self.sigma,
                          self.known[part]).clamp(min=_LEAST_WEIGHT)
        # An outlier has a large error of its own, whatever it shares.
        factor = torch.linalg.cholesky(
            self.shared + (self.own / weight).diag_embed())
        both = torch.cat([residual[..., None], slopes * scale[..., None]], -1)
        both = torch.linalg.solve_triangular(
            factor, both.flatten(2), upper=False).unflatten(2, (2, -1))
        residual, slopes = both[..., 0], both[..., 1:]
        slopes = slopes.flatten(1, 2).double() * self.deviations[first:]
        residual = residual.flatten(1).double()
        return (slopes.mT @ slopes,
                (slopes.mT @ residual[..., None])[..., 0])


def size_slope(head: LandmarkHead) -> torch.Tensor:
    """Change (S,) of the logarithm of the mean head's size by shape, float64.

    The size is the RMS distance of the landmarks, seen from in front, from
    their centre.
    """
    mean = torch.zeros(1, head.size, dtype=head.dtype)
    points, slopes = head.linearise(mean, head.contour_rows(mean))
    points = (points - points.mean(1, keepdim=True))[0].double()
    return torch.einsum('jk,jkd->d', points, slopes[
        0, ..., :head.num_shape].double()) / points.square().sum()


def refine_shape(head: LandmarkHead, state: torch.Tensor,
                 points: torch.Tensor, settings: RefineSettings
                 ) -> torch.Tensor:
    """Correction (S,) of the shape that all frames have in common.

    Every frame has a correction of pose, camera and expression of its own
    here, which is eliminated (Schur complement). What all frames together
    say counts as much as ``settings.views`` of them.

    Args:
        head: Landmarks of the head model.
        state: (T, D).
        points: (T, 68, 2) NDC, NaN where unknown.
        settings: Deviations and steps.
    """
    problem = _Problem(head, state, points, settings, person=True)
    shapes = head.num_shape
    seen = int(problem.known.any(1).sum())
    share = min(1., settings.views / max(1, seen))
    size = (size_slope(head) * problem.deviations[:shapes]
            / settings.size)
    correction = torch.zeros(state.shape, dtype=torch.float64)
    for _ in range(settings.steps):
        hessian, gradient = problem.blocks(correction)
        own = hessian[:, shapes:, shapes:] + torch.eye(
            head.size - shapes, dtype=torch.float64)
        mixed = hessian[:, shapes:, :shapes]
        pull = gradient[:, shapes:] + correction[:, shapes:]
        solved = torch.linalg.solve(own, torch.cat(
            [mixed, pull[..., None]], -1))
        common = torch.eye(shapes, dtype=torch.float64) + torch.outer(
            size, size) + share * (
            hessian[:, :shapes, :shapes]
            - mixed.mT @ solved[..., :-1]).sum(0)
        value = correction[0, :shapes]
        force = value + size * (size @ value) + share * (
            gradient[:, :shapes]
            - (mixed.mT @ solved[..., -1:])[..., 0]).sum(0)
        step = -torch.linalg.solve(common, force)
        correction[:, :shapes] += step
        correction[:, shapes:] -= solved[..., -1] + solved[..., :-1] @ step
    return (correction[0] * problem.deviations)[:shapes].to(state.dtype)


def misses(head: LandmarkHead, state: torch.Tensor, points: torch.Tensor
           ) -> float:
    """By how much states miss the landmarks inside of the face.

    Args:
        head: Landmarks of the head model.
        state: (T, D).
        points: (T, 68, 2) NDC, NaN where unknown.

    Returns:
        Median distance, fraction of the box, where the places of the whole
        faces agree; NaN if nothing is known.
    """
    inner = list(STATIC)
    known = points.isfinite().all(-1)
    size = box_size(points.nan_to_num(), known)[:, None, None]
    away = ((head.points(state, head.contour_rows(state)) - points)
            / size)[:, inner]
    away = away - away.nanmean(1, keepdim=True)
    return float(away.norm(dim=-1).nanmedian())


def spread_frames(count: int, most: int) -> torch.Tensor:
    """At most ``most`` of ``count`` frames, spread evenly: (n,) int64."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


@torch.no_grad()
def refine_track(flame: FLAME, codes: dict[str, torch.Tensor],
                 points: torch.Tensor, fps: float,
                 settings: RefineSettings | None = None,
                 frame_indices: torch.Tensor | None = None
                 ) -> dict[str, torch.Tensor]:
    """Bring the codes of a face into line with its landmarks.

    The shape is corrected once for the whole track (:func:`refine_identity`),
    then pose, camera and expression (:func:`refine_motion`).

    Args:
        flame: Head model on the CPU.
        codes: ``shape`` (T, S), ``exp``, ``pose`` and ``cam``, of frames of
            one face in order; others are passed on.
        points: (T, 68, 2) landmarks, NDC of the frames' crops; NaN where
            unknown.
        fps: Frames per second.
        settings: Default: :class:`RefineSettings`.
        frame_indices: (T,) increasing; default: successive ones.

    Returns:
        The codes, changed.
    """
    settings = (settings or RefineSettings()).believing(points, frame_indices)
    if not (codes['cam'][:, 0] > 0).any():
        return codes
    chosen = spread_frames(len(points), settings.identity_frames)
    shape = refine_identity(
        flame, {name: code[chosen] for name, code in codes.items()},
        points[chosen], settings)
    codes = {**codes, 'shape': shape.expand_as(codes['shape'])}
    return refine_motion(flame, codes, points, fps, settings, frame_indices)


@torch.no_grad()
def refine_identity(flame: FLAME, codes: dict[str, torch.Tensor],
                    points: torch.Tensor, settings: RefineSettings
                    ) -> torch.Tensor:
    """The shape (S,) of a face, corrected by landmarks of some frames.

    Args:
        flame: Head model on the CPU.
        codes: See :func:`refine_track`; all have the shape of the first.
        points: (T, 68, 2), see :func:`refine_track`.
        settings: Deviations and steps.
    """
    good = codes['cam'][:, 0] > 0
    shape = codes['shape'][0]
    if not good.any():
        return shape
    head = LandmarkHead(flame)
    state = head.state({name: code[good] for name, code in codes.items()})
    points = points[good]
    trust = settings.trust(misses(head, state, points))
    state[:, :head.num_shape] *= trust
    return trust * shape + refine_shape(head, state, points, settings)


@torch.no_grad()
def refine_motion(flame: FLAME, codes: dict[str, torch.Tensor],
                  points: torch.Tensor, fps: float,
                  settings: RefineSettings,
                  frame_indices: torch.Tensor | None = None,
                  check_cancelled: Callable[[], None] = lambda: None
                  ) -> dict[str, torch.Tensor]:
    """Pose, camera and expression of a face, corrected by its landmarks.

    Where too little is known (no landmarks, a camera that shows nothing), the
    codes stay as they are. See :func:`refine_track` for the arguments;
    ``check_cancelled`` is called now and then, what it raises ends the work.
    """
    if frame_indices is None:
        frame_indices = torch.arange(len(points))
    good = codes['cam'][:, 0] > 0
    if not good.any():
        return codes
    frame_indices, points = frame_indices[good], points[good]
    head = LandmarkHead(flame)
    state = head.state({name: code[good] for name, code in codes.items()})
    problem = _Problem(head, state, points, settings, person=False)
    shapes = head.num_shape
    diagonal, beside = markov_prior(frame_indices, settings.times(head), fps)
    correction = torch.zeros(state.shape, dtype=torch.float64)
    for _ in range(settings.steps):
        hessian, force = problem.blocks(correction, shapes, check_cancelled)
        values = correction[:, shapes:]
        force = force + diagonal * values
        force[1:] += beside * values[:-1]
        force[:-1] += beside * values[1:]
        hessian.diagonal(0, 1, 2).add_(diagonal)
        correction[:, shapes:] -= solve_chain(hessian, beside, force)
    refined = state + (correction * problem.deviations).to(state.dtype)
    whole = {name: code.clone() for name, code in codes.items()}
    for name, code in head.codes(refined).items():
        whole[name][good] = code
    return whole
