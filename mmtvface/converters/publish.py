# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Make small files for inference of a config and a training checkpoint."""

import copy
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config

from mmtvface.reconstruction.model_setup import build_model
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.packaged_model import (
    PACKAGED_NAME,
    PackagedModel,
    packaged_model,
    sha256_of,
)
from mmtvface.utils.safe_torch import allow_safe_globals
from mmtvface.version import __version__

#: What remains of a config: the model, and what a test needs.
KEPT = ('default_scope', 'custom_imports', 'env_cfg', 'log_level',
        'log_processor', 'model', 'test_cfg', 'test_dataloader',
        'test_evaluator')
MAX_BYTES = 25 * 10**6
MIN_AMPLITUDE, MAX_AMPLITUDE, MIN_CORRELATION = .5, 2., .5
"""Of the mouth's opening: others look like mannequins, or shake."""
_HEADER = '''\
# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Inference config of the weights beside it.

Written by tools/publish_model.py; change the config that was trained:
{origin}
"""
'''


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """All texts in a config with their dotted places."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _strings(entry, f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _strings(entry, f'{place}.{index}')
    elif isinstance(value, str):
        yield place, value


def inference_config(config: Config) -> Config:
    """The part of a config that a trained model still needs.

    Losses, training and validation are left out; SynthTV's test clips are
    rendered on the fly.

    Args:
        config: Is not changed.

    Raises:
        ValueError: If an absolute path is left, which another machine does
            not have.
    """
    kept = {key: copy.deepcopy(config[key]) for key in KEPT if key in config}
    kept['model'].pop('losses', None)
    dataset = (kept.get('test_dataloader') or {}).get('dataset', {})
    if dataset.get('type') == 'SynthTVDataset':
        dataset['data_root'] = None
    for key, value in kept.items():
        for place, text in _strings(value, key):
            if os.path.isabs(text):
                raise ValueError(
                    f"{place} is the absolute path '{text}', which is of no "
                    'use elsewhere. Use a relative path, or a part that is '
                    "built in, such as 'procedural'.")
    return Config(kept)


def inference_weights(checkpoint: Mapping[str, Any]
                      ) -> dict[str, torch.Tensor]:
    """Weights of a training checkpoint without those of losses.

    Args:
        checkpoint: With ``state_dict``.

    Returns:
        Name -> tensor on the CPU that holds no memory beside its values;
        floating-point numbers are float32.
    """
    weights = {}
    for name, value in checkpoint['state_dict'].items():
        name = name.removeprefix('module.')
        if name.startswith('losses.'):
            continue
        if value.is_floating_point():
            value = value.float()
        weights[name] = value.detach().cpu().clone().contiguous()
    return weights


def _date(meta: Mapping[str, Any]) -> str | None:
    """Day of a checkpoint, from mmengine's '20261231_235959'."""
    day = str(meta.get('time', ''))[:8]
    return f'{day[:4]}-{day[4:6]}-{day[6:]}' if len(day) == 8 else None


def result_summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a metafile keeps of a result: means, no single clips.

    Args:
        result: Of ``tools/synthtv.py evaluate``, or plain metrics.

    Raises:
        ValueError: If it is one of refined codes.
    """
    if result.get('refine'):
        raise ValueError(
            f'The result of {result.get("name", "the model")} was measured '
            f'with {result["refine"]} steps of refinement, which follow '
            'landmarks even where the model stands still. Measure the model '
            'itself: tools/synthtv.py evaluate without --refine.')
    # Earlier versions called them grades.
    levels = result.get('levels', result.get('grades'))
    if levels is None:
        return dict(result)
    data = dict(result.get('data') or {})
    data.pop('head_probe', None)
    return dict(
        data=data,
        **{level: scores['means']
           for level, scores in levels.items()})


def _mouths(value: Any, place: str = ''
            ) -> Iterator[tuple[str, float, float]]:
    """Place, amplitude and correlation of the mouth's opening in metrics."""
    if not isinstance(value, Mapping):
        return
    for key, entry in value.items():
        where = f'{place} {key}'.strip()
        if isinstance(entry, Mapping):
            yield from _mouths(entry, where)
        elif key.rpartition('/')[2] == 'mouth_open_amplitude':
            pair = entry, value.get(key.removesuffix('amplitude') + 'corr')
            if all(part is not None and math.isfinite(part)
                   for part in pair):
                yield where, *map(float, pair)


def check_motion(metrics: Mapping[str, Any]) -> None:
    """Raise unless results show that the mouth of a model moves.

    Args:
        metrics: Of :func:`result_summary` by name, or plain ones.

    Raises:
        ValueError: If no result holds amplitude and correlation of the
            mouth's opening, or an amplitude is not between
            :data:`MIN_AMPLITUDE` and :data:`MAX_AMPLITUDE`, or all
            correlations are below :data:`MIN_CORRELATION`.
    """
    found = list(_mouths(metrics))
    if not found:
        raise ValueError(
            'The metrics do not tell how far the mouth opens '
            '(mouth_open_amplitude and mouth_open_corr), and a model whose '
            'faces stand still is not published. Measure it with python '
            'tools/synthtv.py evaluate CONFIG CHECKPOINT --out result.json '
            '(or python tools/test.py CONFIG CHECKPOINT --out result.json) '
            'and give it with --metrics result.json.')
    # What cannot be seen in the worst pictures need not be right in them.
    wrong = [each for each in found
             if not MIN_AMPLITUDE <= each[1] <= MAX_AMPLITUDE]
    best = max(found, key=lambda each: each[2])
    if best[2] < MIN_CORRELATION:
        wrong.append(best)
    if wrong:
        where, amplitude, correlation = wrong[0]
        raise ValueError(
            f"The mouth opens with {amplitude:.3g} of its true amplitude and "
            f"a correlation of {correlation:.3g} ('{where}'), but published "
            f'are only models with {MIN_AMPLITUDE:g} to {MAX_AMPLITUDE:g} '
            f'and at least {MIN_CORRELATION:g}: faces would look like '
            'mannequins, or shake. Train the model further, or with losses '
            'on expressions (ExpressionLoss).')


def publish(config: str | os.PathLike, checkpoint: str | os.PathLike,
            out: str | os.PathLike, name: str = PACKAGED_NAME, *,
            metrics: Mapping[str, Any] | None = None,
            commands: Sequence[str] = (),
            origin: str | None = None) -> PackagedModel:
    """Write ``<name>.py``, ``.pth`` and ``.json`` for inference.

    The same input gives the same bytes. The metafile is written last.

    Args:
        config: File of the model.
        checkpoint: Of a training.
        out: Folder, made if need be.
        name: Of the files.
        metrics: For the metafile; they must tell how far the mouth opens,
            see :func:`check_motion`.
        commands: That trained the model, for the metafile.
        origin: How the config is called; default: as it is given.

    Returns:
        The files, read back.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If they do not fit together, the weights are too large
            for the package, the config names absolute paths, or faces of the
            model stand still.
    """
    check_motion(metrics or {})
    origin = str(config) if origin is None else origin
    full = Config.fromfile(config)
    small = inference_config(full)
    model = build_model(small, checkpoint, 'cpu')  # they fit, or an error
    allow_safe_globals()
    content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    meta = content.get('meta') or {}
    iterations = meta.get('iter')
    start = full.get('load_from')
    if start and os.path.isabs(start):
        start = os.path.basename(start)  # folders of this machine
    # The name of a file would be written into it: a buffer has none.
    buffer = io.BytesIO()
    torch.save(dict(state_dict=inference_weights(content),
                    meta=dict(iter=iterations, config=origin)), buffer)
    data = buffer.getvalue()
    if len(data) > MAX_BYTES:
        raise ValueError(
            f'The weights of {checkpoint} take {len(data) / 1e6:.1f} MB '
            f'without the training, at most {MAX_BYTES / 1e6:g} MB are '
            'packaged. Use a smaller model.')
    out = writable_dir(out)
    text = _HEADER.format(origin=origin) + small.pretty_text
    with atomic_path(out / f'{name}.py') as part:
        part.write_text(text.rstrip() + '\n', encoding='utf-8')
    with atomic_path(out / f'{name}.pth') as part:
        part.write_bytes(data)
    info = dict(
        name=name, config=origin, seed=meta.get('seed'),
        commands=list(commands), iterations=iterations,
        start=start, date=_date(meta), version=__version__,
        parameters=sum(value.numel() for value in model.parameters()),
        bytes=len(data), sha256=sha256_of(out / f'{name}.pth'),
        metrics=dict(metrics or {}))
    with atomic_path(out / f'{name}.json') as part:
        part.write_text(json.dumps(info, indent=2) + '\n', encoding='utf-8')
    return packaged_model(out, name)
