# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From frames to results: the steps of a reconstruction put together."""

import contextlib
import copy
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.geometry.crop import transform_points
from mmtvface.heads.flame import FLAME
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.models.reconstructors.code_stream import can_stream
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.tracking.face_track import CropPlan, Face, FrameDetections
from mmtvface.tracking.frame_source import FrameSource, open_frames
from mmtvface.tracking.shots import Progress, Shot, choose_detector
from mmtvface.tracking.track_store import TrackStore
from mmtvface.visualization.frame_painter import FramePainter

from .finish import split_codes
from .model_setup import (
    build_model,
    choose_device,
    crop_settings,
    load_config,
)
from .pipeline import Pipeline
from .restoration import build_restorer, put_in_front
from .results import (
    FAILED,
    FrameResult,
    LostFrames,
    frame_camera,
    landmark_visibility,
    result_without_face,
)
from .settings import DEFAULT_REFINE, ReconstructSettings

_CHUNK = 32  # frames whose surfaces are in memory


def _silent(step: str, done: int, total: int) -> None:
    """Report no progress."""


class Reconstructor:
    """What :class:`mmtvface.apis.FaceReconstructor` adds conveniences to.

    The input is worked on in shots that end at cuts, by several threads
    (:class:`~.pipeline.Pipeline`). Faces are found and followed; when a shot
    is complete, its frames are cropped and go through the model; then every
    track gets one identity, and is refined and smoothed if that is wanted;
    surfaces are made of the codes while results are taken, in order.
    Landmarks and codes are in a file meanwhile
    (:class:`~mmtvface.tracking.track_store.TrackStore`): memory does not grow
    with the length of a video, apart from some 100 bytes per face and frame
    of the shots in work, and decoded frames
    (:data:`~.pipeline.FRAME_MEMORY`).

    Attributes:
        settings: Those given, and what they leave to the model.
        crop: How faces are cut out.
        report: What refinement and smoothing changed in the last input,
            filled after its last result; for ``metrics.json``.

    Args:
        config: Config file, or a config that is loaded already.
        checkpoint: Weights for it.
        settings: All of them.
    """

    def __init__(self, config: str | os.PathLike | Config,
                 checkpoint: str | os.PathLike,
                 settings: ReconstructSettings) -> None:
        tracking, encoder = settings.tracking, settings.encoder
        finish = settings.finish
        self.config = load_config(config)
        trained = crop_settings(self.config, encoder.length,
                                tracking.crop_scale, encoder.overlap)
        self.device = choose_device(settings.device)
        self.model = build_model(self.config, checkpoint, self.device)
        fits = isinstance(self.model.flame, FLAME)
        if finish.refine and not fits:
            raise ValueError(
                'refine needs a FLAME head, but the model has a '
                f'{type(self.model.flame).__name__}.')
        if finish.refine is None:
            finish = replace(finish, refine=DEFAULT_REFINE if fits and (
                finish.identity == 'track') else 0)
        side = trained.image_size
        if encoder.restore is not None:
            side = put_in_front(build_restorer(*encoder.restore), self.model,
                                side)
        self.crop = CropPlan(side, trained.scale, tracking.crop_sigma)
        length, overlap = trained.windows(can_stream(self.model))
        self.settings = replace(
            settings, finish=finish, encoder=replace(
                encoder, clip_length=length, overlap=overlap))
        self.detector = choose_detector(tracking.detector, self.device)
        self.report: dict[str, Any] = {}

    @property
    def triangles(self) -> np.ndarray:
        """(F, 3) int64 triangles of the meshes."""
        owner = getattr(self.model, 'renderer', None) or self.model.flame
        return owner.faces.cpu().numpy().astype(np.int64)

    def build_renderer(self) -> MeshRenderer:
        """Renderer for overlays: the model's own, else one without UV map."""
        renderer = getattr(self.model, 'renderer', None)
        if renderer is not None:
            return renderer
        blank = np.zeros((256, 256))
        topology = HeadTopology(
            self.triangles, np.zeros((1, 2)), np.zeros_like(self.triangles),
            blank, blank, blank)
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
                 resume: str | os.PathLike | None = None
                 ) -> Iterator[FrameResult]:
        """Results of one input, as :class:`mmtvface.apis.FaceReconstructor`.

        It says what the arguments mean and what can go wrong; ``resume`` is a
        folder here.
        """
        frames = open_frames(source)
        if independent:
            frames = copy.copy(frames)
            frames.consecutive = False
        key = None if resume is None else self._resume_key(frames)
        return self._run(frames, progress or _silent, resume, key)

    def _resume_key(self, source: FrameSource) -> dict[str, Any]:
        """What faces and codes depend on."""
        state = source.fingerprint()
        if state is None:
            raise ValueError('Only an input of files can be resumed, not '
                             f'{source.name}.')
        tracking, encoder = self.settings.tracking, self.settings.encoder
        weights = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            weights.update(name.encode())
            weights.update(value.cpu().float().numpy().tobytes())
        return dict(
            input=state, consecutive=source.consecutive,
            model=weights.hexdigest(), config=str(self.config.model),
            settings=repr((self.crop, tracking.faces, tracking.fill_gaps,
                           encoder.clip_length, encoder.overlap)),
            detector=_name_of(self.detector))

    def _run(self, source: FrameSource, progress: Progress,
             folder: str | os.PathLike | None,
             key: dict[str, Any] | None) -> Iterator[FrameResult]:
        self.report.clear()
        with contextlib.ExitStack() as stack:
            # A folder is made when the first result is wanted, not before.
            if folder is None:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix='mmtvface-'))
            store = stack.enter_context(TrackStore(folder, key))
            pipeline = Pipeline(self.model, self.detector, self.settings,
                                self.crop, store, progress)
            finished = stack.enter_context(contextlib.closing(
                pipeline(source)))
            lost = LostFrames(source.name)
            # Nothing is said before the first face, as there may be none.
            waiting: list[Shot] = []
            for shot in finished:
                waiting.append(shot)
                if shot.tracks or lost.found:
                    while waiting:
                        yield from self._results(waiting.pop(0), lost)
            while waiting:
                for _ in self._results(waiting.pop(0), lost):
                    pass
            lost.report()
            self.report.update(pipeline.statistics.report())

    def _results(self, shot: Shot, lost: LostFrames) -> Iterator[FrameResult]:
        """Results of the frames of a shot."""
        chunk: list[tuple[FrameDetections, list[Face]]] = []
        count = 0
        for frame, faces in shot.frames():
            chunk.append((frame, faces))
            count += max(1, len(faces))
            if count >= _CHUNK:
                yield from self._chunk_results(chunk, shot.store, lost)
                chunk, count = [], 0
        yield from self._chunk_results(chunk, shot.store, lost)
        shot.store.forget_work(shot.tracks)

    def _chunk_results(self, chunk: list[tuple[FrameDetections, list[Face]]],
                       store: TrackStore, lost: LostFrames
                       ) -> Iterator[FrameResult]:
        """Results of some frames, whose surfaces are made at once."""
        known = [face for _, faces in chunk for face in faces
                 if store.has_codes(face.track, face.place)]
        arrays = self._surface(split_codes(
            self.model.layout, np.concatenate([
                store.read_codes(face.track, np.array([face.place]))
                for face in known]))) if known else {}
        position = {face: number for number, face in enumerate(known)}
        for frame, faces in chunk:
            results = [
                self._frame_result(frame, face, arrays, position[face])
                for face in faces if face in position
            ] or [result_without_face(frame, faces)]
            lost.add(frame, results)
            yield from results

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

    def _frame_result(self, frame: FrameDetections, face: Face,
                      arrays: dict[str, Any], position: int) -> FrameResult:
        size = self.crop.size
        codes = {name: code[position].copy()
                 for name, code in arrays['codes'].items()}
        vertices = arrays['vertices'][position].copy()
        found = [vertices, *codes.values()]
        displacement = None
        if 'displacement' in arrays:
            displacement = arrays['displacement'][position, 0].copy()
            found.append(displacement)
        track_id = face.track.track_id
        common = dict(
            index=frame.index, frame_name=frame.name, frame_size=frame.size,
            name=frame.name if self.settings.tracking.faces == 'main' else
            f'{frame.name}_track{track_id}', track_id=track_id,
            time=frame.time, detection=face.landmarks,
            detection_source=face.origin)
        if not all(np.isfinite(values).all() for values in found):
            return FrameResult(
                **common, status=FAILED,
                problem='the model gave numbers that are not finite')
        matrix = face.crop_matrix
        back = np.linalg.inv(matrix)
        zoom = np.sqrt(abs(np.linalg.det(back[:2, :2])))
        landmarks3d = arrays['landmarks3d'][position].astype(np.float64)
        landmarks3d[:, 2] *= size / 2 * zoom
        landmarks3d[:, :2] = ndc_to_pixel(landmarks3d[:, :2], size)
        landmarks2d = ndc_to_pixel(
            arrays['landmarks2d'][position].astype(np.float64), size)
        return FrameResult(
            **common, problem=frame.problem, codes=codes, vertices=vertices,
            camera=frame_camera(codes['cam'], matrix, size),
            landmarks2d=transform_points(landmarks2d, back),
            landmarks3d=transform_points(landmarks3d, back),
            visible2d=arrays['visible2d'][position],
            visible3d=arrays['visible3d'][position],
            displacement=displacement, crop_matrix=matrix, crop_size=size)


def _name_of(detector: object) -> str:
    kind = detector if hasattr(detector, '__qualname__') else type(detector)
    return f'{kind.__module__}.{kind.__qualname__}'


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
