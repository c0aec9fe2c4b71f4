# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Second pass over an input: the codes of its frames."""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.preprocessing.crop import warp

from ..detection import FramePlan
from ..inputs import FrameSource
from .blending import WindowBlender


class CroppedClip(NamedTuple):
    """A clip ready for the model.

    Attributes:
        number: Of the clip.
        frames: Its frames.
        images: (t, S, S, 3) uint8 RGB.
    """

    number: int
    frames: list[FramePlan]
    images: np.ndarray


class EncoderPass:
    """Crops clips and runs the model on them.

    The crops of one batch of clips are in memory.

    Args:
        model: A :class:`~mmtvface.models.reconstructors.TemporalDECA`.
        image_size: Side of the crops in pixels.
        batch_size: Clips that go through the model at once.
    """

    def __init__(self, model: TemporalDECA, image_size: int,
                 batch_size: int) -> None:
        self._model = model
        self._image_size, self._batch_size = image_size, batch_size

    def __call__(self, source: FrameSource, clips: list[list[FramePlan]],
                 first: int = 0) -> Iterator[tuple[list[int], np.ndarray]]:
        """Blended codes of successive frames.

        Args:
            source: Read anew.
            clips: Overlapping, in order of time.
            first: Frames before it are known already.

        Yields:
            n indices and (n, C) rows: codes, then detail codes.
        """
        clips = [clip for clip in clips if clip[-1].index >= first]
        blender = WindowBlender(self._model.layout)
        # A clip is finished when it is known where the next one begins.
        starts = [clip[0].index for clip in clips[1:]] + [math.inf]
        batch: list[CroppedClip] = []

        def run() -> Iterator[tuple[list[int], np.ndarray]]:
            for clip, rows in zip(batch, self._run_batch(batch),
                                  strict=True):
                done = [entry for entry in blender.add(
                    [plan.index for plan in clip.frames], rows,
                    starts[clip.number]) if entry[0] >= first]
                if done:
                    frames, blended = zip(*done, strict=True)
                    yield list(frames), np.stack(blended)
            batch.clear()

        for clip in self._crop_clips(source, clips):
            if batch and (len(batch) == self._batch_size
                          or len(batch[0].frames) != len(clip.frames)):
                yield from run()
            batch.append(clip)
        if batch:
            yield from run()

    def _crop_clips(self, source: FrameSource, clips: list[list[FramePlan]]
                    ) -> Iterator[CroppedClip]:
        """Read the frames again; a clip comes as soon as it is complete."""
        queue = deque(enumerate(clips))
        wanted = {plan.index: plan.crop_matrix
                  for frames in clips for plan in frames}
        crops: dict[int, np.ndarray] = {}

        def take() -> Iterator[CroppedClip]:
            number, frames = queue.popleft()
            # All are there unless files were removed since the first pass.
            there = [plan for plan in frames if plan.index in crops]
            if there:
                yield CroppedClip(number, there, np.stack(
                    [crops[plan.index] for plan in there]))
            if queue:
                first = queue[0][1][0].index
                for index in [i for i in crops if i < first]:
                    del crops[index]

        for frame in source:
            if frame.index in wanted and frame.image is not None:
                crops[frame.index] = warp(
                    frame.image, wanted[frame.index],
                    self._image_size)
            while queue and queue[0][1][-1].index <= frame.index:
                yield from take()
        while queue:
            yield from take()

    @torch.inference_mode()
    def _run_batch(self, batch: list[CroppedClip]) -> np.ndarray:
        """(n, t, C) codes of clips of equal length."""
        data = self._model.data_preprocessor(dict(inputs=[torch.from_numpy(
            np.ascontiguousarray(clip.images.transpose(0, 3, 1, 2)))
            for clip in batch]))
        flat, detail = self._model.encode_with_detail(data['inputs'])
        parts = [flat] if detail is None else [flat, detail]
        return torch.cat([part.float() for part in parts], -1).cpu().numpy()
