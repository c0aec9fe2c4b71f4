# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Who is animated, and heads from codes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mmtvface.export.painted_frame import PaintedFrame
from mmtvface.heads.flame import FlameOutput
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.reconstruction.results import (
    NO_FACE,
    FrameResult,
    frame_camera,
    landmark_visibility,
)
from mmtvface.tracking.frame_source import open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.visualization.frame_painter import FramePainter

from .pictures import FixedTexture, still_window
from .settings import Look
from .tracks import (
    REQUIRED,
    CodeTrack,
    is_codes,
    pick_identity,
    reconstruct_codes,
)

#: Largest distance of landmarks from those that were saved with the codes,
#: over the size of the face.
_SAME_HEAD = .02


class CodePlayer:
    """Makes the results that belong to codes, without an image.

    Codes may come from anywhere; the heads that they stand for are computed
    in batches, so that memory does not grow with the length.

    Args:
        model: A trained :class:`TemporalDECA`: its head model and, if there
            is one, its detail branch.
        detail: Decode displacement maps, if there is a detail branch.
        batch_size: Frames at once.

    Raises:
        ValueError: If the batch size is not positive.
    """

    def __init__(self, model: nn.Module, detail: bool = True,
                 batch_size: int = 8) -> None:
        if batch_size < 1:
            raise ValueError('batch_size must be at least 1, but it is '
                             f'{batch_size}.')
        self.flame, self.layout = model.flame, model.layout
        self.has_texture = getattr(model, 'texture', None) is not None
        self.branch = getattr(model, 'detail', None) if detail else None
        self.batch_size = batch_size

    @property
    def num_detail(self) -> int:
        """Length of the detail code, 0 if none is used."""
        return 0 if self.branch is None else self.branch.decoder.num_detail

    def check(self, track: CodeTrack, identity: bool = False) -> None:
        """Make sure that codes were made for this model.

        Args:
            track: The codes.
            identity: Also texture, light and detail are going to be used.

        Raises:
            ValueError: If a code is missing or has another length, or the
                landmarks that were saved with the codes show another head.
        """
        sizes = {name: self.layout.sizes[name] for name in REQUIRED}
        if identity and self.has_texture:
            sizes |= {name: self.layout.sizes[name]
                      for name in ('tex', 'light')}
        if identity and self.num_detail:
            sizes['detail'] = self.num_detail
        if identity and 'detail' in sizes and 'detail' not in track.codes:
            raise ValueError(
                f'{track.name} has no detail codes, but the model has a '
                'detail branch. Reconstruct it with this model, or animate '
                'without detail (--coarse).')
        if missing := [name for name in sizes if name not in track.codes]:
            raise ValueError(f'{track.name} has no codes {missing}, which '
                             'this model needs.')
        for name, size in sizes.items():
            found = int(np.prod(track.codes[name].shape[1:]))
            if found != size:
                raise ValueError(
                    f"{track.name}: the code '{name}' has {found} entries, "
                    f'but that of the model {size}. Reconstruct it with the '
                    'config and checkpoint that are given here.')
        self._check_head(track)

    def _check_head(self, track: CodeTrack) -> None:
        """Compare the landmarks of a frame with those that were saved."""
        if track.landmarks3d is None or track.camera is None:
            return
        row = int(np.flatnonzero(track.valid)[0])
        saved = track.landmarks3d[row, :, :2]
        result = next(self.play(
            {name: track.codes[name][[row]] for name in REQUIRED},
            cameras=track.camera[[row]], coarse=True))
        error = np.abs(result.landmarks3d[:, :2] - saved).mean()
        if not error <= _SAME_HEAD * np.ptp(saved, 0).max():
            raise ValueError(
                f'{track.name} was made with another head model: with that '
                'of the config, its codes give landmarks that lie '
                f'{error:.1f} pixels away from those that were saved. '
                'Reconstruct it with the config that is given here.')

    def _batches(self, codes: Mapping[str, np.ndarray], rows: np.ndarray
                 ) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        device = self.flame.faces.device
        names = [*REQUIRED, *(['detail'] if self.num_detail
                              and 'detail' in codes else [])]
        for start in range(0, len(rows), self.batch_size):
            part = rows[start:start + self.batch_size]
            yield part, {name: torch.as_tensor(
                codes[name][part], dtype=torch.float32, device=device)
                for name in names}

    @torch.inference_mode()
    def heads(self, codes: Mapping[str, np.ndarray]
              ) -> Iterator[FlameOutput]:
        """Coarse heads of the frames that have codes, batch by batch.

        Args:
            codes: Name -> (T, C); rows that are not finite are left out.
        """
        for _, batch in self._batches(codes, _finite_rows(codes)):
            yield self.flame(batch['shape'], batch['exp'], batch['pose'])

    def play(self, codes: Mapping[str, np.ndarray],
             names: Sequence[str] | None = None, image_size: int = 224,
             cameras: np.ndarray | None = None, coarse: bool = False
             ) -> Iterator[FrameResult]:
        """Results of all frames, in order.

        Args:
            codes: Name -> (T, C); rows that are not finite have no face.
            names: Of the frames; default: 000000, ...
            image_size: Side of the square picture that the code ``cam``
                belongs to, pixels.
            cameras: (T, 3, 4) of other pictures, see :class:`FrameResult`;
                None: that of ``cam``.
            coarse: Leave out the displacement maps.

        Yields:
            One result per frame. Its crop is the whole picture.
        """
        length = len(codes['shape'])
        names = names or [f'{index:06d}' for index in range(length)]
        rows = _finite_rows(codes)
        found = self._results(codes, rows, names, image_size, cameras, coarse)
        present = set(rows.tolist())
        for index in range(length):
            yield next(found) if index in present else FrameResult(
                index, names[index], NO_FACE, 'there are no codes',
                (image_size, image_size))

    @torch.inference_mode()
    def _results(self, codes: Mapping[str, np.ndarray], rows: np.ndarray,
                 names: Sequence[str], size: int,
                 cameras: np.ndarray | None, coarse: bool
                 ) -> Iterator[FrameResult]:
        for part, batch in self._batches(codes, rows):
            head = self.flame(batch['shape'], batch['exp'], batch['pose'])
            height = [None] * len(part)
            if 'detail' in batch and not coarse:
                height = _numpy(self.branch.decode(batch)[:, 0])
            visible = [value.cpu().numpy() for value in landmark_visibility(
                self.flame, head.vertices, batch['cam'], batch['pose'])]
            arrays = [_numpy(value) for value in (
                head.vertices, head.landmarks2d, head.landmarks3d)]
            for i, row in enumerate(part.tolist()):
                vertices, contour, fixed = (value[i] for value in arrays)
                own = {name: code[row] for name, code in codes.items()}
                camera = frame_camera(own['cam'], np.eye(3), size) if (
                    cameras is None) else cameras[row]
                yield FrameResult(
                    index=row, name=names[row], frame_size=(size, size),
                    track_id=0, codes=own, vertices=vertices, camera=camera,
                    landmarks2d=_place(contour, camera)[:, :2],
                    landmarks3d=_place(fixed, camera),
                    visible2d=visible[0][i], visible3d=visible[1][i],
                    displacement=height[i], crop_matrix=np.eye(3),
                    crop_size=size)


def _finite_rows(codes: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.flatnonzero(np.all([
        np.isfinite(codes[name]).all(1) for name in REQUIRED], axis=0))


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def _place(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(N, 3) metres to pixels and depth."""
    return points.astype(np.float64) @ camera[:, :3].T + camera[:, 3]


def no_progress(step: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Subject:
    """Somebody who can be animated.

    Attributes:
        track: All that was found out.
        codes: Name -> (C,), the codes of the person.
        player: Makes heads of codes.
        painter: Makes pictures of heads.
        lit: The painter's texture is an albedo.
        kinds: Pictures that can be made, of 'shape' and 'textured'.
        portrait: (S, S, 3) uint8, a frame of the source; None if it is not
            there.
    """

    track: CodeTrack
    codes: Mapping[str, np.ndarray]
    player: CodePlayer
    painter: FramePainter
    lit: bool
    kinds: tuple[str, ...]
    portrait: np.ndarray | None


def prepare_subject(reconstructor: Reconstructor, source: Any, look: Look,
                frame: int | str | None = None,
                progress: Progress | None = None) -> Subject:
    """Reconstruct a person and prepare everything to draw them.

    Args:
        reconstructor: With the model.
        source: Image, folder, clip folder, video, or ``codes.npz``.
        look: How it is drawn.
        frame: Position or name of the frame whose codes are taken; None:
            the robust mean over all frames.
        progress: Called with the step, frames done and in all.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it shows no face, does not fit the model, or its
            picture is needed and not there.
    """
    track = reconstruct_codes(reconstructor, source, progress)
    player = CodePlayer(reconstructor.model, look.detail)
    player.check(track, identity=True)
    codes = pick_identity(track, frame)
    row = track.portrait_index if frame is None else track.index_of(frame)
    image = None if is_codes(source) else next(
        (seen.image for seen in open_frames(source)
         if seen.index == track.frame_index[row]), None)
    painter = reconstructor.build_painter()
    result = _portrait_result(player, track, row)
    if look.texture == 'photo':
        painter = photo_painter(painter, result, image, track.name)
    portrait = None
    if image is not None:
        window = still_window(result.landmarks3d[None], look.size,
                              image.shape[:2])
        portrait = PaintedFrame(painter, result, image).resampled(
            window, look.size, ())[0]
    textured = not painter.missing_part('rendered') and 'tex' in codes
    return Subject(track, codes, player, painter, look.texture == 'model',
                ('shape', 'textured') if textured else ('shape', ), portrait)


def _portrait_result(player: CodePlayer, track: CodeTrack,
                     row: int) -> FrameResult:
    """The head in the pixels of one frame of its input."""
    cameras = None if track.camera is None else track.camera[[row]]
    codes = {name: code[[row]] for name, code in track.codes.items()}
    return replace(next(player.play(codes, cameras=cameras)),
                   name=track.frame_names[row])


def photo_painter(painter: FramePainter, result: FrameResult,
                  image: np.ndarray | None, name: str) -> FramePainter:
    """A painter whose texture is the picture of a person.

    Args:
        painter: Of the model.
        result: The person's head in pixels of the image.
        image: (H, W, 3) uint8 RGB.
        name: Of the source, for messages.

    Raises:
        ValueError: If there is no image, or the head has no UV map.
    """
    if image is None:
        raise ValueError(f"texture='photo' needs an image of the person, but "
                         f'{name} has none that can be read.')
    if not painter.has_uv_map:
        raise ValueError("texture='photo' needs a UV map: configure "
                         "renderer=dict(type='MeshRenderer', ...).")
    frame = PaintedFrame(painter, result, image)
    texture = painter.bake_texture(frame.face, image)
    return FramePainter(painter.renderer, FixedTexture(texture),
                        painter.surface, painter.texture_size)
