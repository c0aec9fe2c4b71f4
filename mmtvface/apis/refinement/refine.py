# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Maximum a posteriori refinement of the codes of a track.

A network's errors are of two kinds. What is wrong with its codes mostly stays
the same for a second or moves slowly; what is wrong with detected landmarks
is new in every frame. So the corrections of the codes are made of slow cosines
of time: they take what the landmarks say together, and leave the movement of
the codes, and their jitter, as they are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mmtvface.evaluation.functional import box_size
from mmtvface.head_models import FLAME

from .landmark_head import CAMERA, POSE, LandmarkHead

_CONTOUR = 17
_HUBER = 2.


@dataclass(frozen=True)
class RefineSettings:
    """What is believed about the errors of codes and landmarks.

    Standard deviations of the network's errors, a half of whose variance is
    taken to move with time.

    Attributes:
        steps: Gauss-Newton steps.
        landmark: Of detected landmarks, fraction of the size of their box;
            several times the noise of a single point, since errors of
            neighbours go together.
        contour: The same of the 17 points of the outline, which slide along
            it.
        rotation: Radians, of the head.
        jaw: Radians.
        scale: Relative, of the camera.
        shift: Metres, of the camera.
        shape: Of a coefficient.
        expression: Of a coefficient.
        cutoff: Hz up to which corrections change with time.
        window: Frames that are solved together; successive windows overlap
            by half and are blended.
        identity_frames: Most frames, spread over a track, that the shape is
            refined on.
    """

    steps: int = 2
    landmark: float = .03
    contour: float = .06
    rotation: float = .15
    jaw: float = .1
    scale: float = .1
    shift: float = .01
    shape: float = .7
    expression: float = .4
    cutoff: float = 5.
    window: int = 50
    identity_frames: int = 40

    def deviations(self, head: LandmarkHead) -> torch.Tensor:
        """(D,) standard deviations of a state's errors, float64."""
        expression = head.size - head.num_shape - POSE - CAMERA
        return torch.tensor(
            [self.shape] * head.num_shape + [self.rotation] * 3
            + [self.jaw] * 3 + [self.scale] + [self.shift] * 2
            + [self.expression] * expression, dtype=torch.float64)


class _Problem:
    """The least-squares problem of some frames of a track."""

    def __init__(self, head: LandmarkHead, state: torch.Tensor,
                 points: torch.Tensor, settings: RefineSettings) -> None:
        self.head, self.state = head, state
        self.rows = head.contour_rows(state)
        known = points.isfinite().all(-1)
        self.points = points.nan_to_num()
        sigma = state.new_full((68, ), settings.landmark)
        sigma[:_CONTOUR] = settings.contour
        size = box_size(self.points, known).clamp(min=1e-6)
        self.precision = torch.where(
            known & size.isfinite()[:, None], 1 / (size[:, None] * sigma), 0)
        self.deviations = settings.deviations(head)

    def blocks(self, correction: torch.Tensor
               ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hessian (T, D, D) and gradient (T, D) of the landmarks' part.

        In units of the deviations, float64, at ``state`` + correction
        (T, D) times the deviations; Huber weights of this place.
        """
        moved = self.state.double() + correction * self.deviations
        points, slopes = self.head.linearise(
            moved.to(self.state.dtype), self.rows)
        residual = (points - self.points) * self.precision[..., None]
        length = residual.norm(dim=-1).clamp(min=1e-9)
        weight = self.precision * (_HUBER / length).clamp(max=1).sqrt()
        slopes = (slopes * weight[..., None, None]).flatten(
            1, 2).double() * self.deviations
        residual = ((points - self.points) * weight[..., None]).flatten(
            1).double()
        return (slopes.mT @ slopes,
                (slopes.mT @ residual[..., None])[..., 0])


def _cosines(frames: torch.Tensor, cutoff: float, fps: float
             ) -> torch.Tensor:
    """(T, m) cosines of time of length 1 up to a frequency, float64.

    Args:
        frames: (T,) growing numbers of the frames.
        cutoff: Hz.
        fps: Frames per second.
    """
    time = frames.double() - frames[0] + .5
    span = float(time[-1]) + .5
    number = min(len(frames), 1 + int(2 * span * cutoff / fps))
    basis = torch.cos(
        math.pi / span * time[:, None] * torch.arange(number))
    return basis / basis.norm(dim=0)


def refine_shape(head: LandmarkHead, state: torch.Tensor,
                 points: torch.Tensor, settings: RefineSettings
                 ) -> torch.Tensor:
    """Correction (S,) of the shape that all frames have in common.

    Every frame has a correction of pose, camera and expression of its own
    here, which is eliminated (Schur complement).

    Args:
        head: Landmarks of the head model.
        state: (T, D).
        points: (T, 68, 2) NDC, NaN where unknown.
        settings: Deviations and steps.
    """
    problem = _Problem(head, state, points, settings)
    shapes = head.num_shape
    correction = torch.zeros(state.shape, dtype=torch.float64)
    for _ in range(settings.steps):
        hessian, gradient = problem.blocks(correction)
        own = hessian[:, shapes:, shapes:] + torch.eye(
            head.size - shapes, dtype=torch.float64)
        mixed = hessian[:, shapes:, :shapes]
        pull = gradient[:, shapes:] + correction[:, shapes:]
        solved = torch.linalg.solve(own, torch.cat(
            [mixed, pull[..., None]], -1))
        common = torch.eye(shapes, dtype=torch.float64) + (
            hessian[:, :shapes, :shapes]
            - mixed.mT @ solved[..., :-1]).sum(0)
        force = correction[0, :shapes] + (
            gradient[:, :shapes]
            - (mixed.mT @ solved[..., -1:])[..., 0]).sum(0)
        step = -torch.linalg.solve(common, force)
        correction[:, :shapes] += step
        correction[:, shapes:] -= solved[..., -1] + solved[..., :-1] @ step
    return (correction[0] * problem.deviations)[:shapes].to(state.dtype)


def refine_window(head: LandmarkHead, state: torch.Tensor,
                  points: torch.Tensor, settings: RefineSettings,
                  fps: float, numbers: torch.Tensor) -> torch.Tensor:
    """Slow corrections (T, D) of the codes of some frames.

    Args:
        head: Landmarks of the head model.
        state: (T, D); its shape stays.
        points: (T, 68, 2) NDC, NaN where unknown.
        settings: Deviations, steps and cutoff.
        fps: Frames per second.
        numbers: (T,) of the frames.
    """
    problem = _Problem(head, state, points, settings)
    shapes, frames = head.num_shape, len(state)
    basis = _cosines(numbers, settings.cutoff, fps)
    number, size = basis.shape[1], head.size - shapes
    # Half of the variance is constant, half is spread over the cosines.
    spread = torch.full((number, ), frames / (2 * max(1, number - 1)),
                        dtype=torch.float64)
    spread[0] = frames / 2 if number > 1 else frames
    basis = basis * spread.sqrt()
    products = basis[:, :, None] * basis[:, None]
    values = torch.zeros(number, size, dtype=torch.float64)
    correction = torch.zeros(state.shape, dtype=torch.float64)
    for _ in range(settings.steps):
        hessian, gradient = problem.blocks(correction)
        matrix = torch.einsum('tkl,tab->kalb', products,
                              hessian[:, shapes:, shapes:])
        matrix = matrix.reshape(number * size, number * size)
        matrix += torch.eye(len(matrix), dtype=torch.float64)
        force = values + basis.T @ gradient[:, shapes:]
        values = values - torch.linalg.solve(
            matrix, force.flatten()).view_as(values)
        correction[:, shapes:] = basis @ values
    return (correction * problem.deviations).to(state.dtype)


def spread_frames(count: int, most: int) -> torch.Tensor:
    """At most ``most`` of ``count`` frames, spread evenly: (n,) int64."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


@torch.no_grad()
def refine_track(flame: FLAME, codes: dict[str, torch.Tensor],
                 points: torch.Tensor, fps: float,
                 settings: RefineSettings | None = None,
                 numbers: torch.Tensor | None = None
                 ) -> dict[str, torch.Tensor]:
    """Bring the codes of a face into line with its landmarks.

    The shape is corrected once for the whole track (:func:`refine_identity`),
    then pose, camera and expression in overlapping windows
    (:func:`refine_motion`).

    Args:
        flame: Head model on the CPU.
        codes: ``shape`` (T, S), ``exp``, ``pose`` and ``cam``, of frames of
            one face in order; others are passed on.
        points: (T, 68, 2) landmarks, NDC of the frames' crops; NaN where
            unknown.
        fps: Frames per second.
        settings: Default: :class:`RefineSettings`.
        numbers: (T,) growing numbers of the frames; default: successive ones.

    Returns:
        The codes, changed.
    """
    settings = settings or RefineSettings()
    if not (codes['cam'][:, 0] > 0).any():
        return codes
    chosen = spread_frames(len(points), settings.identity_frames)
    shape = refine_identity(
        flame, {name: code[chosen] for name, code in codes.items()},
        points[chosen], settings)
    codes = {**codes, 'shape': shape.expand_as(codes['shape'])}
    return refine_motion(flame, codes, points, fps, settings, numbers)


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
    return shape + refine_shape(head, state, points[good], settings)


@torch.no_grad()
def refine_motion(flame: FLAME, codes: dict[str, torch.Tensor],
                  points: torch.Tensor, fps: float,
                  settings: RefineSettings,
                  numbers: torch.Tensor | None = None,
                  go_on: Callable[[], None] = lambda: None
                  ) -> dict[str, torch.Tensor]:
    """Pose, camera and expression of a face, corrected by its landmarks.

    Where too little is known (no landmarks, a camera that shows nothing), the
    codes stay as they are. See :func:`refine_track` for the arguments;
    ``go_on`` is called now and then, what it raises ends the work.
    """
    if numbers is None:
        numbers = torch.arange(len(points))
    good = codes['cam'][:, 0] > 0
    if not good.any():
        return codes
    head = LandmarkHead(flame)
    whole = {name: code.clone() for name, code in codes.items()}
    for name, code in head.codes(_refined(
            head, head.state({name: code[good]
                              for name, code in codes.items()}),
            points[good], fps, settings, numbers[good], go_on)).items():
        whole[name][good] = code
    return whole


def _refined(head: LandmarkHead, state: torch.Tensor, points: torch.Tensor,
             fps: float, settings: RefineSettings, numbers: torch.Tensor,
             go_on: Callable[[], None]) -> torch.Tensor:
    """States (T, D), corrected in overlapping windows."""
    frames = len(state)
    total = torch.zeros_like(state)
    weights = state.new_zeros(frames, 1)
    size = min(settings.window, frames)
    stride = max(1, size // 2)
    starts = sorted({*range(0, frames - size, stride), frames - size})
    ramp = torch.arange(size, dtype=state.dtype) + 1
    ramp = torch.minimum(ramp, ramp.flip(0))[:, None]
    for start in starts:
        go_on()
        part = slice(start, start + size)
        total[part] += ramp * refine_window(
            head, state[part], points[part], settings, fps, numbers[part])
        weights[part] += ramp
    return state + total / weights
