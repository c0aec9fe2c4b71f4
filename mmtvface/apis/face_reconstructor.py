# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From images and videos to animatable faces."""

import bisect
import contextlib
import copy
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.head_models.flame import FLAME
from mmtvface.head_models.head_topology import HeadTopology
from mmtvface.preprocessing.crop import transform_points
from mmtvface.preprocessing.landmark_detector import LandmarkDetector
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.visualization.frame_painter import FramePainter

from .codes import (
    CodeStore,
    EncoderPass,
    FinishSettings,
    RunJournal,
    finish_tracks,
    split_rows,
)
from .detection import (
    FramePlan,
    Progress,
    choose_detector,
    choose_faces,
    cut_clips,
    find_faces,
    place_crops,
)
from .inputs import FrameSource, open_frames
from .landmark_visibility import landmark_visibility
from .model_setup import (
    build_model,
    choose_device,
    choose_model,
    crop_settings,
    load_config,
)
from .restoration import build_restorer, put_in_front
from .results import FAILED, OK, UNREADABLE, FrameResult, frame_camera

_CHUNK = 32  # frames whose surfaces are in memory


def _silent(step: str, done: int, total: int) -> None:
    """Report no progress."""


class FaceReconstructor:
    """Reconstruct the face in every frame of an input.

    ::

        reconstructor = FaceReconstructor()  # the model of the package
        for result in reconstructor('film.mp4'):
            if result.valid:
                result.vertices, result.codes, result.landmarks2d, ...

    Two passes are made. The first finds the faces, follows one of them
    (:func:`mmtvface.preprocessing.tracking.follow_face`) and steadies its
    crop; it keeps landmarks only. The second decodes the frames again, crops
    them, runs the model on clips that overlap by half and blends their codes,
    which go to a temporary file. Then every track gets one identity, and
    is refined and smoothed if that is wanted; surfaces are made of the codes
    while results are taken, in order. Memory does not grow with the length
    of a video, apart from some kilobytes of landmarks per frame and the codes
    of a track while it is finished.

    Attributes:
        report: What refinement and smoothing changed in the last input,
            filled when its first result comes; for ``metrics.json``.

    Args:
        config: Config file, or a config that is loaded already. Default:
            the model that is part of the package.
        checkpoint: Weights for it; read without running code from the file.
            Given if and only if ``config`` is.
        device: Default: 'cuda' if there is one, else 'cpu'.
        clip_length: Frames per clip of the temporal model; default: as in
            the config (test, else training dataset).
        crop_scale: Side of the crop relative to the landmark box; default:
            as in the config.
        crop_sigma: Smoothing of the crop over time, in frames.
        batch_size: Clips that go through the model at once.
        identity: 'track': one shape and albedo for all frames of a track,
            the robust mean of the frames'. 'frame': as the model gives them.
        refine: Gauss-Newton steps that bring codes into line with the
            landmarks that placed the crops, see
            :func:`~mmtvface.apis.refinement.refine_track`; 0: none.
        smooth: None, 'one-euro' or 'savgol': filter the movement, see
            :func:`~mmtvface.apis.codes.smoothing.smooth_run`.
        detector: Finds faces where no landmarks are given: an (H, W, 3)
            uint8 RGB image in, (68, 2) pixel indices per face out. Or
            'face-alignment', an optional package. Default: 'mediapipe',
            started when it is first needed.
        restore: Config and checkpoint of an mmagic video restorer for small
            or bad pictures: every crop goes through it first, see
            :mod:`mmtvface.apis.restoration`.

    Raises:
        FileNotFoundError: If a config or checkpoint does not exist.
        ImportError: If the package of the detector is not installed.
        ValueError: If they do not fit together, or only one is given.
    """

    def __init__(self, config: str | os.PathLike | Config | None = None,
                 checkpoint: str | os.PathLike | None = None,
                 device: str | torch.device | None = None,
                 clip_length: int | None = None,
                 crop_scale: float | None = None, crop_sigma: float = 2.,
                 batch_size: int = 1,
                 detector: LandmarkDetector | str | None = None,
                 identity: str = 'track', refine: int = 0,
                 smooth: str | None = None,
                 restore: Sequence[str | os.PathLike] | None = None) -> None:
        self.finish = FinishSettings(identity, refine, smooth)
        config, checkpoint = choose_model(config, checkpoint)
        self.config = load_config(config)
        self.settings = crop_settings(self.config, clip_length,
                                      scale=crop_scale)
        self.device = choose_device(device)
        self.model = build_model(self.config, checkpoint, self.device)
        if restore is not None:
            side = put_in_front(build_restorer(*restore), self.model,
                                self.settings.image_size)
            self.settings = replace(self.settings, image_size=side)
        self.crop_sigma = crop_sigma
        self.batch_size = max(1, batch_size)
        self.detector = choose_detector(detector, self.device)
        self.report: dict[str, Any] = {}
        if refine and not isinstance(self.model.flame, FLAME):
            raise ValueError(
                'refine needs a FLAME head, but the model has a '
                f'{type(self.model.flame).__name__}.')

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) int64 triangles of the meshes."""
        owner = getattr(self.model, 'renderer', None) or self.model.flame
        return owner.faces.cpu().numpy().astype(np.int64)

    def build_renderer(self) -> MeshRenderer:
        """Renderer for overlays: the model's own, else one without atlas."""
        renderer = getattr(self.model, 'renderer', None)
        if renderer is not None:
            return renderer
        blank = np.zeros((256, 256))
        topology = HeadTopology(
            self.faces, np.zeros((1, 2)), np.zeros_like(self.faces), blank,
            blank, blank)
        return MeshRenderer(topology).to(self.device)

    def build_painter(self, texture_size: int = 512) -> FramePainter:
        """Painter of all pictures and textures that the model's parts allow.

        Args:
            texture_size: Side of the textures of meshes in texels.
        """
        detail = getattr(self.model, 'detail', None)
        flame = self.model.flame
        return FramePainter(
            self.build_renderer(), getattr(self.model, 'texture', None),
            getattr(detail, 'surface', None), texture_size,
            flame if isinstance(flame, FLAME) else None)

    def __call__(self, source: str | os.PathLike | np.ndarray
                 | Sequence[np.ndarray] | FrameSource,
                 independent: bool = False,
                 progress: Progress | None = None,
                 journal: str | os.PathLike | None = None
                 ) -> Iterator[FrameResult]:
        """Reconstruct an input.

        Args:
            source: Image, folder of images, clip folder (``jpg/``,
                ``kpt/``), video, or uint8 RGB arrays; see
                :func:`mmtvface.apis.inputs.open_frames`.
            independent: The frames do not follow one another: each is
                reconstructed by itself.
            progress: Told the step, frames done and in all (0: unknown).
            journal: Folder in which faces and codes are noted as they are
                found. Called again with the same input and options, after
                an interruption, the reconstruction goes on from there. Delete
                it when the results are safe.

        Yields:
            One result per frame, in order; ``valid`` is False where there
            is no face or no image.

        Raises:
            FileNotFoundError: If the input does not exist.
            ValueError: If it cannot be read at all, no frame has a face, or
                there is a journal for frames that are no files.
            ImportError: If faces must be found and mediapipe is missing.
        """
        frames = open_frames(source)
        if independent:
            frames = copy.copy(frames)
            frames.consecutive = False
        key = None if journal is None else self._journal_key(frames)
        return self._run(frames, progress or _silent, journal, key)

    def _journal_key(self, source: FrameSource) -> dict[str, Any]:
        """What faces and codes depend on."""
        state = source.fingerprint()
        if state is None:
            raise ValueError(f'A journal needs an input of files, not '
                             f'{source.name}.')
        weights = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            weights.update(name.encode())
            weights.update(value.cpu().float().numpy().tobytes())
        return dict(
            input=state, consecutive=source.consecutive,
            model=weights.hexdigest(), config=str(self.config.model),
            crop=[*vars(self.settings).values(), self.crop_sigma],
            detector=_name_of(self.detector))

    def _run(self, source: FrameSource, progress: Progress,
             folder: str | os.PathLike | None,
             key: dict[str, Any] | None) -> Iterator[FrameResult]:
        self.report.clear()
        with contextlib.ExitStack() as stack:
            # A folder is made when the first result is wanted, not before.
            journal = None if folder is None else stack.enter_context(
                RunJournal(folder, key))
            yield from self._reconstruct(source, progress, journal, stack)

    def _reconstruct(self, source: FrameSource, progress: Progress,
                     journal: RunJournal | None,
                     stack: contextlib.ExitStack) -> Iterator[FrameResult]:
        plans = find_faces(
            source, self.detector, progress,
            *((journal.plans, journal.add_faces) if journal else ()))
        choose_faces(plans, source)
        tracks = place_crops(plans, self.settings.image_size,
                             self.settings.scale, self.crop_sigma)
        clips = cut_clips(
            tracks, self.settings.clip_length if source.consecutive else 1)
        total = sum(map(len, tracks))
        store: CodeStore | None = None
        known: list[FramePlan] = []

        def take(frames: list[int], rows: np.ndarray) -> None:
            nonlocal store
            if store is None:
                store = stack.enter_context(CodeStore(rows.shape[1]))
            store.append(rows)
            known.extend(plans[index] for index in frames)
            progress('Reconstructing', len(known), total)

        first = 0
        if journal and journal.frames:
            take(journal.frames, journal.codes)
            first = journal.frames[-1] + 1
        encode = EncoderPass(self.model, self.settings.image_size,
                             self.batch_size)
        for frames, rows in encode(source, clips, first):
            if journal:
                journal.add_codes(frames, rows)
            take(frames, rows)
        if store is not None:
            self.report.update(finish_tracks(
                self.model, self.settings.image_size, store, known,
                source.fps, self.finish, progress))
        yield from self._results(store, known, plans)

    def _results(self, store: CodeStore | None, known: list[FramePlan],
                 plans: list[FramePlan]) -> Iterator[FrameResult]:
        """Results of all frames, made of the codes in the store."""
        for start in range(0, len(plans), _CHUNK):
            part = plans[start:start + _CHUNK]
            first, last = (bisect.bisect_left(
                known, index, key=lambda plan: plan.index)
                for index in (part[0].index, part[-1].index + 1))
            arrays = {} if first == last else self._surface(
                split_rows(self.model.layout, store.read(first, last)))
            places = {plan.index: place
                      for place, plan in enumerate(known[first:last])}
            for plan in part:
                if plan.index in places:
                    yield self._frame_result(plan, arrays,
                                             places[plan.index])
                elif plan.status == OK:
                    plan.problem = 'the image could not be read again'
                    yield _empty_result(plan, UNREADABLE)
                else:
                    yield _empty_result(plan)

    @torch.inference_mode()
    def _surface(self, codes: dict[str, torch.Tensor]) -> dict[str, Any]:
        """What codes (n, ...) say, as arrays."""
        there = {name: code.to(self.device) for name, code in codes.items()}
        fields = self.model.surface(there)
        visible = landmark_visibility(
            self.model.flame, fields['vertices'], there['cam'],
            there['pose'])
        return {name: _numpy(value) for name, value in fields.items()} | dict(
            codes={name: code.numpy() for name, code in codes.items()},
            visible2d=visible[0].cpu().numpy(),
            visible3d=visible[1].cpu().numpy())

    def _frame_result(self, plan: FramePlan, arrays: dict[str, Any],
                      position: int) -> FrameResult:
        size = self.settings.image_size
        codes = {name: code[position].copy()
                 for name, code in arrays['codes'].items()}
        vertices = arrays['vertices'][position].copy()
        found = [vertices, *codes.values()]
        displacement = None
        if 'displacement' in arrays:
            displacement = arrays['displacement'][position, 0].copy()
            found.append(displacement)
        if not all(np.isfinite(values).all() for values in found):
            plan.problem = 'the model gave numbers that are not finite'
            return _empty_result(plan, FAILED)
        back = np.linalg.inv(plan.crop_matrix)
        zoom = np.sqrt(abs(np.linalg.det(back[:2, :2])))
        landmarks3d = arrays['landmarks3d'][position].astype(np.float64)
        landmarks3d[:, 2] *= size / 2 * zoom
        landmarks3d[:, :2] = ndc_to_pixel(landmarks3d[:, :2], size)
        landmarks2d = ndc_to_pixel(
            arrays['landmarks2d'][position].astype(np.float64), size)
        return FrameResult(
            index=plan.index, name=plan.name, problem=plan.problem,
            frame_size=plan.size, track_id=plan.track_id, codes=codes,
            vertices=vertices,
            camera=frame_camera(codes['cam'], plan.crop_matrix, size),
            landmarks2d=transform_points(landmarks2d, back),
            landmarks3d=transform_points(landmarks3d, back),
            visible2d=arrays['visible2d'][position],
            visible3d=arrays['visible3d'][position],
            displacement=displacement,
            crop_matrix=plan.crop_matrix, crop_size=size,
            detection=plan.detection, detection_source=plan.origin)


def _empty_result(plan: FramePlan, status: str = '') -> FrameResult:
    return FrameResult(
        index=plan.index, name=plan.name, status=status or plan.status,
        problem=plan.problem, frame_size=plan.size, track_id=plan.track_id,
        detection=plan.detection, detection_source=plan.origin)


def _name_of(detector: object) -> str:
    kind = detector if hasattr(detector, '__qualname__') else type(detector)
    return f'{kind.__module__}.{kind.__qualname__}'


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
