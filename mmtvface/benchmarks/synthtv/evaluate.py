# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Measure a model on the test clips of SynthTV."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from mmtvface.evaluation.functional import (
    MIN_MOTION,
    SIGNALS,
    MotionTerms,
    box_size,
    clip_errors,
    mean_errors,
)
from mmtvface.evaluation.functional.clip_scores import mean_of_finite
from mmtvface.evaluation.metrics import DetailNormalError
from mmtvface.fitting import RefineSettings, refine_track
from mmtvface.heads import FLAME
from mmtvface.reconstruction.model_setup import build_model, on_cpu
from mmtvface.reconstruction.smoothing import SmoothSettings, smooth_codes
from mmtvface.structures import FaceClipSample
from mmtvface.utils.safe_torch import allow_safe_globals

from . import LEVELS, SynthTVDataset
from .scenes import GENERATOR_VERSION
from .tuning import tune

Codes = dict[str, torch.Tensor]
Predicted = list[tuple[Codes, FaceClipSample]]
NORMALS = ('detail', 'coarse', 'wrinkled_detail', 'wrinkled_coarse')
FRAME_SCORES = ('posed_mm', 'nme')
"""Scores that results keep of every frame."""
LANDMARK_NOISE = .01
"""Standard deviation of simulated landmarks along x and y, of their box."""
_TOLERANCE = 1e-5  # metres between two heads that are the same


class ClipScores(NamedTuple):
    """Scores of several clips.

    Attributes:
        clips: Name -> one number per clip.
        frames: Name (:data:`FRAME_SCORES`) -> clip by clip -> one number per
            frame.
    """

    clips: dict[str, list[float]]
    frames: dict[str, list[list[float]]]


def data_settings(config: Config, data_root: str | os.PathLike | None
                  ) -> dict[str, Any]:
    """Arguments of :class:`SynthTVDataset` that fit the model of a config."""
    training = (config.get('train_dataloader') or {}).get('dataset', {})
    size = config.model.get('image_size') or training.get('image_size', 64)
    head = training.get('head')
    return dict(image_size=size, data_root=data_root, clip_length=None,
                head=None if head is None else dict(head))


@torch.no_grad()
def predict_clips(model: nn.Module, dataset: SynthTVDataset,
                  batch_size: int = 4) -> Iterator[tuple[Codes,
                                                         FaceClipSample]]:
    """Codes of whole clips and their truth, on the CPU.

    Args:
        model: A :class:`TemporalDECA` in evaluation mode.
        dataset: Its clips have equally many frames.
        batch_size: Clips at a time.

    Yields:
        Codes, name -> (t, ...) float32, and the sample, clip by clip.
    """
    for start in range(0, len(dataset), batch_size):
        items = [dataset[index] for index in
                 range(start, min(start + batch_size, len(dataset)))]
        batch = model.data_preprocessor(dict(
            inputs=[item['inputs'] for item in items],
            data_samples=[item['data_samples'] for item in items]))
        flat = model(batch['inputs'], mode='tensor').float().cpu()
        for vector, item in zip(flat, items, strict=True):
            yield model.layout.split(vector), item['data_samples']


def score_clips(flame: nn.Module, true_flame: nn.Module,
                clips: Sequence[tuple[Mapping[str, torch.Tensor],
                                      FaceClipSample]]
                ) -> ClipScores:
    """Scores of clips, see :func:`score_clip`."""
    errors = [clip_errors(flame, codes, sample.gt_codes, sample.gt_landmarks,
                          true_flame) for codes, sample in clips]
    scores = [mean_errors(*error) for error in errors]
    return ClipScores(
        {name: [score[name] for score in scores] for name in scores[0]},
        {name: [frames[name].tolist() for frames, *_ in errors]
         for name in FRAME_SCORES})


def conditions(samples: Iterable[FaceClipSample]) -> dict[str, list]:
    """What happened to every frame: name -> clip by clip -> frames."""
    metas = [sample.metainfo for sample in samples]
    return {name: [np.asarray(meta[name]).tolist() for meta in metas]
            for name in ('visible_skin', 'blur', 'frozen')}


def detected(landmarks: torch.Tensor, seed: int) -> torch.Tensor:
    """What a detector of landmarks might find.

    Args:
        landmarks: (t, 68, 3) true ones, NDC and visibility.
        seed: Of the errors.

    Returns:
        (t, 68, 2) NDC.
    """
    dice = torch.Generator().manual_seed(seed)
    points = landmarks[..., :2]
    errors = torch.randn(points.shape, generator=dice) + torch.randn(
        points[:1].shape, generator=dice)
    return points + LANDMARK_NOISE * errors * box_size(points)[:, None, None]


def mean_scores(clips: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means over clips; lag and motion from their terms.

    Args:
        clips: Name -> one number per clip, see :func:`score_clip`.

    Returns:
        Means; ``lag_frames``; ``identity_gain``, how much of the error of the
        mean head (``neutral_mean_mm``) is gone: 0 of a model that takes
        everybody for the same person; ``<signal>_corr`` and
        ``<signal>_amplitude`` of the motion within the clips (0 of a model
        whose faces stand still, NaN if nothing moves).
    """
    means = {name: mean_of_finite(values) for name, values in clips.items()
             if not name.startswith(('lag_', 'motion_'))}
    means['identity_gain'] = 1 - means['neutral_mm'] / (
        means['neutral_mean_mm'] or math.nan)
    for name in SIGNALS:
        terms = MotionTerms(*(sum(clips[f'motion_{name}_{field.name}'])
                              for field in fields(MotionTerms)))
        means[f'{name}_corr'] = terms.correlation(MIN_MOTION[name])
        means[f'{name}_amplitude'] = terms.amplitude(MIN_MOTION[name])
    if motion := sum(clips['lag_motion']):
        means['lag_frames'] = sum(clips['lag_delay']) / motion
    return means


def same_heads(model_head: nn.Module, data_head: FLAME) -> None:
    """Raise unless the truth can be compared with a model's heads.

    Raises:
        ValueError: If the mean heads differ.
    """
    heads = [flame(*(torch.zeros(1, size) for size in (
        flame.num_shape, flame.num_expression, 6))).vertices
        for flame in (model_head, data_head)]
    if heads[0].shape != heads[1].shape or (
            heads[0] - heads[1]).abs().max() > _TOLERANCE:
        raise ValueError(
            'The model has another head than the data: '
            f'{heads[0].shape[1]} and {heads[1].shape[1]} vertices. Generate '
            'scenes with its head (tools/synthtv.py generate --config) and '
            'give the same head to the config of the training data.')


def training_iterations(checkpoint: str | os.PathLike) -> int | None:
    """Iterations after which a checkpoint was written, if it says so."""
    allow_safe_globals()
    content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    meta = content.get('meta') if isinstance(content, Mapping) else None
    return meta.get('iter') if isinstance(meta, Mapping) else None


def count_parameters(model: nn.Module) -> int:
    """Parameters of everything that was or could be trained."""
    parts = [model.encoder, model.head, getattr(model, 'detail', None)]
    return sum(value.numel() for part in parts if part is not None
               for value in part.parameters())


def evaluate_model(
        config: Config, checkpoint: str | os.PathLike,
        data_root: str | os.PathLike | None = None, *,
        name: str | None = None,
        smooth: SmoothSettings | None = None,
        tune_clips: int = 0,
        refine: int = 0,
        num_clips: int | None = None,
        wrinkled_clips: int = 0,
        difficulties: Sequence[str] = tuple(LEVELS),
        split: str = 'test',
        batch_size: int = 4,
        device: str | torch.device = 'cpu',
        data: Mapping[str, Any] | None = None,
        tell: Callable[[str, int, int], None] = lambda *_: None
        ) -> dict[str, Any]:
    """Measure a model at all levels, clip by clip.

    Args:
        config: Of the model.
        checkpoint: Weights.
        data_root: Folder of the scenes; None renders them on the fly.
        name: Of the method in tables; default: that of the config.
        smooth: Filter the codes, with these settings.
        tune_clips: Tune the filter on so many hard clips of 'val' first; 0
            takes ``smooth`` as it is.
        refine: Gauss-Newton steps on landmarks, see :func:`refine_track`. A
            detector is stood in for by the true landmarks with an error that
            is new in each frame and one that is the same in all frames of a
            clip, each of :data:`LANDMARK_NOISE` of the box.
        num_clips: Of each level; None: all.
        wrinkled_clips: Measure the normals, too, on so many clips of each
            level with wrinkles, rendered on the fly.
        difficulties: Grades.
        split: 'test', or 'val' while a method is developed.
        batch_size: Clips at a time.
        device: Of the model.
        data: Further arguments of :class:`SynthTVDataset`.
        tell: Called with the level, the clips done and all clips.

    Returns:
        What ``tools/synthtv.py`` writes as JSON: ``levels`` has the scores of
        every clip and frame, what happened to the frames, and the means.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the checkpoint or the data do not fit the model.
    """
    model = build_model(config, checkpoint, device)
    options = data_settings(config, data_root) | dict(data or {})
    sets = {level: SynthTVDataset(split, level, num_clips=num_clips,
                                  **options) for level in difficulties}
    first = next(iter(sets.values()))
    true_flame = first.settings.build_flame()
    # A copy on the CPU: the model's own stays on its device.
    flame = on_cpu(model.flame)
    same_heads(flame, true_flame)
    tried = None
    if smooth is not None and tune_clips:
        smooth, tried = _tune_on_val(
            model, flame, true_flame, options, tune_clips, batch_size, tell)
    levels = {}
    for level, dataset in sets.items():
        clips: Predicted = []
        for codes, sample in predict_clips(model, dataset, batch_size):
            if refine:
                codes = refine_track(
                    flame, codes, detected(sample.gt_landmarks, len(clips)),
                    sample.fps, RefineSettings(steps=refine))
            if smooth is not None:
                codes = smooth_codes(codes, smooth)
            clips.append((codes, sample))
            tell(level, len(clips), len(dataset))
        scores = score_clips(flame, true_flame, clips)
        levels[level] = dict(
            means=mean_scores(scores.clips), clips=scores.clips,
            frames=scores.frames | conditions(
                sample for _, sample in clips))
        if wrinkled_clips:
            folded = SynthTVDataset(
                split, level, num_clips=wrinkled_clips, wrinkles=True,
                with_vertices=True, **options | dict(data_root=None))
            topology = config.model.get('renderer', {}).get(
                'topology', 'procedural')
            levels[level]['normals'] = score_normals(
                model, folded, topology, lambda done, name=level: tell(
                    f'{name}, wrinkles', done, wrinkled_clips))
    stem = Path(getattr(config, 'filename', None) or 'model').stem
    suffix = ('' if smooth is None else ' + One-Euro') + (
        f' + {refine} steps of refinement' if refine else '')
    return dict(
        name=name or stem + suffix, refine=refine,
        config=stem, checkpoint=Path(checkpoint).name,
        iterations=training_iterations(checkpoint),
        parameters=count_parameters(model), flops_per_frame=None,
        smooth=None if smooth is None else asdict(smooth), tuning=tried,
        data=dict(split=split, num_clips=len(first), seed=first.settings.seed,
                  clip_length=first.clip_length,
                  image_size=first.settings.image_size,
                  generator_version=GENERATOR_VERSION,
                  head_probe=first.settings.manifest()['head_probe']),
        levels=levels, model=plain(config.model),
        date=datetime.now(timezone.utc).strftime('%Y-%m-%d'))


def _tune_on_val(model: nn.Module, flame: nn.Module, true_flame: nn.Module,
                 options: Mapping[str, Any], num_clips: int, batch_size: int,
                 tell: Callable[[str, int, int], None]
                 ) -> tuple[SmoothSettings, list[dict[str, float]]]:
    """Settings of the filter that suit a model."""
    dataset = SynthTVDataset('val', 'hard', num_clips=num_clips, **options)
    clips = list(predict_clips(model, dataset, batch_size))
    samples = [sample for _, sample in clips]
    rounds = 0

    def score(codes: Sequence[Mapping[str, torch.Tensor]]
              ) -> dict[str, float]:
        nonlocal rounds
        rounds += 1
        tell('tuning', rounds, rounds)
        return mean_scores(score_clips(
            flame, true_flame, list(zip(codes, samples, strict=True))).clips)

    return tune([codes for codes, _ in clips], score)


def plain(value: Any) -> Any:
    """Data of a config or result that JSON can hold; null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        # Six digits say more than a benchmark knows.
        return float(f'{value:.6g}') if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


@torch.no_grad()
def score_normals(model: nn.Module, dataset: SynthTVDataset,
                  topology: str | Mapping[str, Any] = 'procedural',
                  tell: Callable[[int], None] = lambda done: None
                  ) -> dict[str, Any]:
    """Angles between normals in degrees, see :class:`DetailNormalError`.

    Args:
        model: A :class:`TemporalDECA` with a detail branch.
        dataset: With wrinkles and vertices.
        topology: Of the head.
        tell: Called with the number of clips done.

    Returns:
        ``means`` and ``clips`` of ``normal_detail_deg`` (with the predicted
        displacement), ``normal_coarse_deg`` (without), and
        ``normal_wrinkled_...`` of the texels that have wrinkles.

    Raises:
        ValueError: If the model has no detail branch.
    """
    if getattr(model, 'detail', None) is None:
        raise ValueError('The model has no detail branch, so there are no '
                         'normals to measure: leave out --wrinkles.')
    metric = DetailNormalError(topology)
    clips: dict[str, list[float]] = {
        f'normal_{name}_deg': [] for name in NORMALS}
    for index in range(len(dataset)):
        item = dataset[index]
        batch = model.data_preprocessor(dict(
            inputs=[item['inputs']], data_samples=[item['data_samples']]))
        sample = model(batch['inputs'], batch['data_samples'], 'predict')[0]
        angles = metric.measure(sample.to_dict())
        for name in NORMALS:
            clips[f'normal_{name}_deg'].append(
                mean_of_finite(angles[name].cpu()))
        tell(index + 1)
    return dict(clips=clips, means={
        name: mean_of_finite(values) for name, values in clips.items()})
