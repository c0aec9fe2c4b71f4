# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of reconstructions during validation and testing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmtvface.registry import HOOKS
from mmtvface.structures import FaceClipSample

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner

_GAP = 2


def clip_pixels(clip: torch.Tensor) -> np.ndarray:
    """A clip of the data loader as pictures.

    Args:
        clip: (t, 3, H, W) uint8, or floating point [0, 1], RGB.

    Returns:
        (t, H, W, 3) uint8 RGB.
    """
    if clip.dtype != torch.uint8:
        clip = (clip.clamp(0, 1) * 255).round().byte()
    return clip.permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.no_grad()
def render_clip(model: nn.Module, sample: FaceClipSample, picks: Sequence[int],
                image_size: tuple[int, int]) -> list[np.ndarray]:
    """The predicted face with its albedo and light.

    Args:
        model: A reconstructor; without albedo model or renderer there are
            no pictures.
        sample: With ``pred_codes``.
        picks: Frames to render.
        image_size: (H, W).

    Returns:
        (H, W, 3) uint8 RGB each.
    """
    if getattr(model, 'texture', None) is None or model.renderer is None:
        return []
    codes = {
        name: code[list(picks)].float()
        for name, code in sample.pred_codes.items()
    }
    geometry = model.decode(codes)
    render = model.renderer.render(
        geometry['vertices'], geometry['vertices_ndc'],
        model.texture(codes['tex']), codes['light'], image_size=image_size)
    return list(clip_pixels(render.image))


@HOOKS.register_module()
class FaceVisualizationHook(Hook):
    """Writes PNG grids of input, landmarks, mesh overlay and render.

    One column per frame; true landmarks are green, predicted ones red. Files
    are ``{work_dir}/{out_dir}/{val|test}/{iteration}_{number}_{clip}.png``.

    Args:
        interval: Every how many batches of an evaluation.
        max_clips: Clips per evaluation at most.
        max_frames: Frames shown per clip, spread over it.
        out_dir: Folder inside the work folder (or an absolute one).
        record: Also hand the pictures to the runner's visualizer, for
            TensorBoard and the like.

    Raises:
        ValueError: If a number is not positive.
    """

    priority = 'LOW'

    def __init__(self,
                 interval: int = 50,
                 max_clips: int = 4,
                 max_frames: int = 5,
                 out_dir: str = 'visualization',
                 record: bool = False) -> None:
        for name, value in (('interval', interval), ('max_clips', max_clips),
                            ('max_frames', max_frames)):
            if value < 1:
                raise ValueError(f'FaceVisualizationHook: {name} must be '
                                 f'positive, but it is {value}.')
        self.interval = interval
        self.max_clips = max_clips
        self.max_frames = max_frames
        self.out_dir = out_dir
        self.record = record
        self._drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Start counting clips."""
        self._drawn = 0

    before_test_epoch = before_val_epoch

    def after_val_iter(self,
                       runner: Runner,
                       batch_idx: int,
                       data_batch: Mapping[str, Any] | None = None,
                       outputs: Sequence[FaceClipSample] | None = None
                       ) -> None:
        """Draw some clips of the batch."""
        self._draw_batch(runner, batch_idx, data_batch, outputs, 'val')

    def after_test_iter(self,
                        runner: Runner,
                        batch_idx: int,
                        data_batch: Mapping[str, Any] | None = None,
                        outputs: Sequence[FaceClipSample] | None = None
                        ) -> None:
        """Draw some clips of the batch."""
        self._draw_batch(runner, batch_idx, data_batch, outputs, 'test')

    def _draw_batch(self, runner: Runner, batch_idx: int,
                    data_batch: Mapping[str, Any] | None,
                    outputs: Sequence[FaceClipSample] | None,
                    mode: str) -> None:
        if (batch_idx % self.interval or not outputs or data_batch is None
                or not is_main_process()):
            return
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        folder = Path(runner.work_dir) / self.out_dir / mode
        for clip, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self._drawn >= self.max_clips:
                return
            picture = self.draw(model, clip, sample)
            name = re.sub(r'[^\w.-]+', '_',
                          str(sample.get('clip_id', f'clip{self._drawn}')))
            folder.mkdir(parents=True, exist_ok=True)
            # Several windows of one clip have its name.
            name = f'{self._drawn}_{name}'
            path = folder / f'{runner.iter:07d}_{name}.png'
            encoded = cv2.imencode('.png', picture[..., ::-1])[1]
            path.write_bytes(encoded.tobytes())
            if self.record:
                runner.visualizer.add_image(f'{mode}_{name}', picture,
                                            runner.iter)
            self._drawn += 1

    def draw(self, model: nn.Module, clip: torch.Tensor,
             sample: FaceClipSample) -> np.ndarray:
        """Grid of one clip.

        Args:
            model: The reconstructor; its renderer draws, if it has one.
            clip: (t, 3, H, W), see :func:`clip_pixels`.
            sample: With predictions.

        Returns:
            (rows, columns, 3) uint8 RGB.
        """
        # The other hooks must not wait for renderers and drawing.
        from mmtvface.visualization import image_grid, spread
        from mmtvface.visualization.face_visualizer import draw_clip
        images = clip_pixels(clip)
        picture = draw_clip(images, sample, getattr(model, 'renderer', None),
                            self.max_frames)
        picks = spread(len(images), self.max_frames)
        renders = render_clip(model, sample, picks, images.shape[1:3])
        if not renders:
            return picture
        gap = np.full((_GAP, picture.shape[1], 3), 255, np.uint8)
        return np.concatenate([picture, gap, image_grid([renders], gap=_GAP)])
