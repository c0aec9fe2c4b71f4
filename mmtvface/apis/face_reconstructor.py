# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From images and videos to animatable faces."""

import copy
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config

from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.head_models.flame import FLAME
from mmtvface.head_models.head_topology import HeadTopology
from mmtvface.preprocessing.crop import transform_points, warp
from mmtvface.preprocessing.landmark_detector import LandmarkDetector
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.structures import FaceClipSample
from mmtvface.visualization.frame_painter import FramePainter

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
    choose_model,
    crop_settings,
    load_config,
)
from .restoration import build_restorer, put_in_front
from .results import FAILED, OK, UNREADABLE, FrameResult, frame_camera

Clip = tuple[list[FramePlan], set[int]]


class CroppedClip(NamedTuple):
    """A clip ready for the model.

    Attributes:
        frames: Its frames.
        keep: Indices of the frames whose results are kept.
        images: (t, S, S, 3) uint8 RGB.
    """

    frames: list[FramePlan]
    keep: set[int]
    images: np.ndarray


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, by default the first GPU, else the CPU.

    Raises:
        ValueError: If there is no such device.
    """
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    # The kinds of errors differ between builds of torch.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"The device '{device}' cannot be used: {reason}. "
                         "Use 'cpu', or 'cuda' on a machine with an NVIDIA "
                         'GPU and a CUDA build of torch.') from error
    return device


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
    them and runs the model on overlapping clips; it holds the crops of one
    batch of clips. Results are yielded as soon as they are known, in order,
    and are not kept: memory does not grow with the length of a video, apart
    from some kilobytes of landmarks per frame.

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
                 restore: Sequence[str | os.PathLike] | None = None) -> None:
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
                 progress: Progress | None = None) -> Iterator[FrameResult]:
        """Reconstruct an input.

        Args:
            source: Image, folder of images, clip folder (``jpg/``,
                ``kpt/``), video, or uint8 RGB arrays; see
                :func:`mmtvface.apis.inputs.open_frames`.
            independent: The frames do not follow one another: each is
                reconstructed by itself.
            progress: Told the step, frames done and in all (0: unknown).

        Yields:
            One result per frame, in order; ``valid`` is False where there
            is no face or no image.

        Raises:
            FileNotFoundError: If the input does not exist.
            ValueError: If it cannot be read at all, or no frame has a face.
            ImportError: If faces must be found and mediapipe is missing.
        """
        frames = open_frames(source)
        if independent:
            frames = copy.copy(frames)
            frames.consecutive = False
        return self._run(frames, progress or _silent)

    def _run(self, source: FrameSource,
             progress: Progress) -> Iterator[FrameResult]:
        plans = find_faces(source, self.detector, progress)
        choose_faces(plans, source)
        tracks = place_crops(plans, self.settings.image_size,
                             self.settings.scale, self.crop_sigma)
        clips = cut_clips(
            tracks, self.settings.clip_length if source.consecutive else 1)
        done = {plan.index: _empty_result(plan) for plan in plans
                if plan.status != OK}
        emitted = 0
        for results in self._reconstruct(source, clips):
            done.update(results)
            while emitted < len(plans) and emitted in done:
                yield done.pop(emitted)
                emitted += 1
                progress('Reconstructing', emitted, len(plans))
        for plan in plans[emitted:]:
            if plan.index not in done:
                plan.problem = 'the image could not be read again'
            yield done.pop(plan.index, None) or _empty_result(
                plan, UNREADABLE)
            progress('Reconstructing', plan.index + 1, len(plans))

    def _reconstruct(self, source: FrameSource, clips: list[Clip]
                     ) -> Iterator[dict[int, FrameResult]]:
        """Second pass: run batches of clips of equal length."""
        batch: list[CroppedClip] = []
        for clip in self._crop_clips(source, clips):
            if batch and (len(batch) == self.batch_size
                          or len(batch[0].frames) != len(clip.frames)):
                yield self._run_batch(batch)
                batch = []
            batch.append(clip)
        if batch:
            yield self._run_batch(batch)

    def _crop_clips(self, source: FrameSource, clips: list[Clip]
                    ) -> Iterator[CroppedClip]:
        """Read the frames again; a clip comes as soon as it is complete."""
        queue = deque(clips)
        wanted = {plan.index: plan.crop_matrix
                  for frames, _ in clips for plan in frames}
        crops: dict[int, np.ndarray] = {}

        def take() -> Iterator[CroppedClip]:
            frames, keep = queue.popleft()
            # All are there unless files were removed since the first pass.
            there = [plan for plan in frames if plan.index in crops]
            if there:
                yield CroppedClip(there, keep, np.stack(
                    [crops[plan.index] for plan in there]))
            if queue:
                first = queue[0][0][0].index
                for index in [i for i in crops if i < first]:
                    del crops[index]

        for frame in source:
            if frame.index in wanted and frame.image is not None:
                crops[frame.index] = warp(
                    frame.image, wanted[frame.index],
                    self.settings.image_size)
            while queue and queue[0][0][-1].index <= frame.index:
                yield from take()
        while queue:
            yield from take()

    def _run_batch(self, batch: list[CroppedClip]) -> dict[int, FrameResult]:
        """Results of the kept frames of clips of equal length."""
        data = dict(
            inputs=[torch.from_numpy(
                np.ascontiguousarray(clip.images.transpose(0, 3, 1, 2)))
                for clip in batch],
            data_samples=[self._sample(clip.frames) for clip in batch])
        with torch.inference_mode():
            predictions = self.model.test_step(data)
        results = {}
        for clip, sample in zip(batch, predictions, strict=True):
            arrays = self._to_numpy(sample)
            for position, plan in enumerate(clip.frames):
                if plan.index in clip.keep:
                    results[plan.index] = self._frame_result(
                        plan, arrays, position)
        return results

    @torch.inference_mode()
    def _to_numpy(self, sample: FaceClipSample) -> dict[str, Any]:
        """Predictions of a clip as arrays."""
        names = ['vertices', 'landmarks2d', 'landmarks3d']
        if 'pred_displacement' in sample:
            names.append('displacement')
        arrays = {name: _numpy(sample.get(f'pred_{name}')) for name in names}
        visible = landmark_visibility(
            self.model.flame, sample.pred_vertices, sample.pred_cam,
            sample.pred_codes['pose'])
        return dict(
            arrays,
            codes={name: _numpy(code)
                   for name, code in sample.pred_codes.items()},
            visible2d=visible[0].cpu().numpy(),
            visible3d=visible[1].cpu().numpy())

    def _sample(self, frames: list[FramePlan]) -> FaceClipSample:
        size = self.settings.image_size
        return FaceClipSample(metainfo=dict(
            clip_id=f'track{frames[0].track_id}',
            frame_names=[plan.name for plan in frames],
            crop_matrices=np.stack([plan.crop_matrix for plan in frames]),
            ori_shape=frames[0].size, image_size=(size, size)))

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


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
