# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Charts of values that frames of clips have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .charts import Chart, cumulative_curve
from .functional.over_time import Line, join_windows, mean_by_position

_MOST_CLIPS = 6


def clip_context(sample: Mapping[str, Any], num_frames: int
                 ) -> dict[str, Any]:
    """Where the frames of a sample belong.

    Args:
        sample: With ``clip_id``, ``frame_indices`` and ``fps``, if there are.
        num_frames: t.

    Returns:
        ``clip`` (''  if unknown), ``frames`` (t,) int64 and ``fps`` or None.
    """
    frames = sample.get('frame_indices')
    if frames is None or len(frames) != num_frames:
        frames = range(num_frames)
    return dict(clip=str(sample.get('clip_id', '')),
                frames=np.asarray(frames, np.int64), fps=sample.get('fps'))


def cumulative_chart(errors: Mapping[str, np.ndarray], name: str, title: str,
                     x_label: str) -> Chart | None:
    """Cumulative curves of groups of errors; None without any.

    Args:
        errors: Label -> (N,) finite.
        name: See :class:`Chart`.
        title: See :class:`Chart`.
        x_label: See :class:`Chart`.
    """
    errors = {label: values for label, values in errors.items()
              if len(values)}
    if not errors:
        return None
    limit = max(float(np.quantile(values, .99)) for values in errors.values())
    limit = limit or 1.
    return Chart(name, title, x_label, 'percent of the frames', {
        f'{label} ({len(values)})': cumulative_curve(values, limit)
        for label, values in errors.items()}, limits=limit)


def place_chart(values: Sequence[np.ndarray], name: str, title: str,
                y_label: str) -> Chart | None:
    """Mean by the position in the window that the model saw.

    None if the windows are single frames.
    """
    if max((len(value) for value in values), default=0) < 2:
        return None
    line = mean_by_position([np.arange(len(v)) for v in values], values)
    if not len(line[0]):
        return None
    label = f'mean of {len(values)} windows'
    return Chart(name, title, 'frame of the window', y_label, {label: line})


def time_chart(contexts: Sequence[Mapping[str, Any]],
               values: Sequence[np.ndarray], name: str, title: str,
               y_label: str) -> Chart | None:
    """Values over the time of whole clips, joined from their windows.

    Up to six clips are drawn one by one, of more the mean, the median and
    the 90th percentile. None if no clip has two frames.

    Args:
        contexts: Of every window, see :func:`clip_context`.
        values: Of every window, (t,) each.
        name: See :class:`Chart`.
        title: See :class:`Chart`.
        y_label: See :class:`Chart`.
    """
    # Windows without a name are clips of their own.
    names = [context['clip'] or f'#{index}'
             for index, context in enumerate(contexts)]
    clips = join_windows(names, [c['frames'] for c in contexts], values)
    rates = {rate for context in contexts if (rate := context['fps'])}
    known = all(context['fps'] for context in contexts)
    if known:
        speed = dict(zip(names, (c['fps'] for c in contexts), strict=True))
        clips = {clip: (frames / float(speed[clip]), line)
                 for clip, (frames, line) in clips.items()}
    clips = {clip: line for clip, line in clips.items()
             if np.isfinite(line[1]).sum() > 1}
    if not clips:
        return None
    lines = clips if len(clips) <= _MOST_CLIPS else _spread(
        clips, 1 / max(rates) if known else 1.)
    return Chart(name, title, 'seconds' if known else 'frame', y_label, lines)


def _spread(clips: Mapping[str, Line], step: float) -> dict[str, Line]:
    """Mean, median and 90th percentile of clips at each time."""
    where = np.concatenate([line[0] for line in clips.values()])
    what = np.concatenate([line[1] for line in clips.values()])
    good = np.isfinite(what)
    slots = np.rint(where[good] / step).astype(np.int64)
    order = np.argsort(slots, kind='stable')
    slots, what = slots[order], what[good][order]
    places, starts = np.unique(slots, return_index=True)
    groups = np.split(what, starts[1:])
    return {
        f'{label} of {len(clips)} clips': (
            places * step, np.array([measure(group) for group in groups]))
        for label, measure in (
            ('mean', np.mean), ('median', np.median),
            ('90th percentile', lambda group: np.quantile(group, .9)))}
