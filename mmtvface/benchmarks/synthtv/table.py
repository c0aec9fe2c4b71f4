# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Compare results of the SynthTV benchmark."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.evaluation.charts import markdown_table
from mmtvface.evaluation.functional import (
    SIGNALS,
    Difference,
    paired_difference,
)
from mmtvface.utils.assets import require_file

from .folder import same_probe

COLUMNS = dict(
    neutral_mm='neutral mm', posed_mm='posed mm',
    posed_rigid_mm='posed, rigid mm', nme='landmarks %',
    jitter_mm='jitter mm/frame²', drift_mm='drift mm')
"""Scores with a difference to the baseline, and their headings."""
_NORMALS = dict(
    normal_detail_deg='normals °', normal_wrinkled_detail_deg='in wrinkles °')
_PLAIN = dict(jitter_pred_mm='own acceleration', lag_frames='lag frames',
              identity_gain='gain over the mean head')
_TRUTH = dict(
    jitter_true_mm='the truth accelerates by {:.2g} mm/frame²',
    neutral_mean_mm='the mean head is {:.2f} mm from neutral heads')
_COVERED, _BLURRED = .25, .03
Result = Mapping[str, Any]


def read_result(path: str | os.PathLike) -> dict[str, Any]:
    """A result of ``tools/synthtv.py evaluate``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    path = require_file(path, 'Result', 'Make it with tools/synthtv.py '
                        'evaluate.')
    try:
        result = json.loads(Path(path).read_text(encoding='utf-8'))
        # Earlier versions called them grades.
        if 'grades' in result:
            result['levels'] = result.pop('grades')
        for level in result['levels'].values():
            for name in COLUMNS:
                if len(level['clips'][name]) != result['data']['num_clips']:
                    raise ValueError(f'some clips have no {name}')
                level['means'][name]
        result['name']
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'{path} is no result of tools/synthtv.py evaluate '
                         f'({error!r}).') from error
    return result


def check_comparable(results: Sequence[Result]) -> None:
    """Raise unless results are of the same clips and have different names.

    Raises:
        ValueError: Naming what differs.
    """
    first, *others = results
    for other in others:
        clips, own = ({key: value for key, value in result['data'].items()
                       if key != 'head_probe'} for result in (first, other))
        if own != clips or set(other['levels']) != set(first['levels']):
            raise ValueError(
                f"'{first['name']}' and '{other['name']}' were not measured "
                f"on the same clips: {clips} and {own}, "
                f"{list(first['levels'])} and {list(other['levels'])}.")
        if not same_probe(other['data'].get('head_probe', []),
                          first['data'].get('head_probe', [])):
            raise ValueError(
                f"The clips of '{first['name']}' and '{other['name']}' were "
                'made with different head models; evaluate both with the '
                'same head.')
    names = [result['name'] for result in results]
    if len(set(names)) < len(names):
        raise ValueError(f'Two results have the same name: {names}. Give '
                         'them names with evaluate --name.')


def choose_baseline(results: Sequence[Result], name: str | None) -> Result:
    """The result with a name, a part of it, or the first.

    Raises:
        ValueError: If no result, or several, have the name.
    """
    if name is None:
        return results[0]
    names = [result['name'] for result in results]
    fitting = [result for result in results if result['name'] == name] or [
        result for result in results if name in result['name']]
    if len(fitting) != 1:
        raise ValueError(f"The baseline '{name}' must be one of {names}.")
    return fitting[0]


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value
                     for value in values], float)


def _scores(result: Result, level: str, name: str) -> Result | None:
    """Means and clips that hold a score, if there are any."""
    part = result['levels'][level]
    if name in _NORMALS:
        part = part.get('normals')
    return part if part and part['means'].get(name) is not None else None


def _cell(result: Result, baseline: Result, level: str, name: str) -> str:
    """Mean, and its difference to the baseline with the interval."""
    own, base = (_scores(part, level, name) for part in (result, baseline))
    if own is None:
        return '-'
    text = f"{own['means'][name]:.3g}"
    if result is baseline or base is None or (
            len(own['clips'][name]) != len(base['clips'][name])):
        return text
    return text + _change(paired_difference(*(
        _numbers(part['clips'][name]) for part in (base, own))))


def _change(change: Difference) -> str:
    """A difference with its interval, nothing if there is none."""
    if not math.isfinite(change.value):
        return ''
    return (f' ({100 * change.value:+.1f} % '
            f'[{100 * change.low:+.1f}, {100 * change.high:+.1f}])')


def level_table(results: Sequence[Result], baseline: Result,
                level: str) -> str:
    """Table of a level in Markdown; differences to the baseline in %."""
    columns = dict(COLUMNS)
    if any(result['levels'][level].get('normals') for result in results):
        columns |= _NORMALS
    rows = []
    for result in results:
        means = result['levels'][level]['means']
        rows.append([result['name'], *(
            _cell(result, baseline, level, name) for name in columns), *(
            '-' if means.get(name) is None else f'{means[name]:.2g}'
            for name in _PLAIN)])
    return markdown_table(
        ('model', *columns.values(), *_PLAIN.values()), rows)


def frame_groups(frames: Mapping[str, Sequence[Sequence[float]]]
                 ) -> dict[str, np.ndarray]:
    """Frames by what happened to them: name -> (clips, t) bool.

    ``covered``: at least a quarter of the skin is behind something or lost;
    ``frozen``: repeats the frame before; ``blurred``: by at least 3 % of the
    side of the crop; ``clear``: none of these.
    """
    groups = dict(
        covered=np.array(frames['visible_skin']) <= 1 - _COVERED,
        frozen=np.array(frames['frozen'], bool),
        blurred=np.array(frames['blur']) >= _BLURRED)
    return dict(clear=~np.logical_or.reduce(list(groups.values())), **groups)


def where_table(results: Sequence[Result], baseline: Result, level: str,
                name: str = 'posed_mm') -> str | None:
    """Errors by what happened to the frames, in Markdown.

    Args:
        results: Of the same clips.
        baseline: Of the differences.
        level: Of the clips.
        name: Score of frames.

    Returns:
        None if a result is of an earlier version, without frames.
    """
    if not all('frames' in result['levels'][level] for result in results):
        return None
    groups = frame_groups(baseline['levels'][level]['frames'])

    def clip_means(result: Result, group: np.ndarray) -> np.ndarray:
        errors = np.stack([_numbers(row) for row in
                           result['levels'][level]['frames'][name]])
        counted = group & np.isfinite(errors)
        with np.errstate(invalid='ignore'):
            return np.where(counted, errors, 0).sum(1) / counted.sum(1)

    rows = []
    for result in results:
        row = [result['name']]
        for group in groups.values():
            own, base = (clip_means(part, group)
                         for part in (result, baseline))
            if not np.isfinite(own).any():
                row.append('-')
                continue
            text = f'{np.nanmean(own):.3g}'
            row.append(text if result is baseline else text + _change(
                paired_difference(base, own)))
        rows.append(row)
    return markdown_table(('model', *(
        f'{title}, {100 * group.mean():.0f} %'
        for title, group in groups.items())), rows)


def motion_table(results: Sequence[Result], level: str) -> str | None:
    """How the motion within the clips is followed, in Markdown.

    Args:
        results: Of the same clips.
        level: Of the clips.

    Returns:
        Correlation and amplitude of every signal; None if no result has
        them, as those of earlier versions.
    """
    means = [result['levels'][level]['means'] for result in results]

    def cell(part: Result, name: str) -> str:
        pair = [part.get(f'{name}_{what}') for what in ('corr', 'amplitude')]
        return '-' if None in pair else '{:.2f}, {:.2f}'.format(*pair)

    if not any(f'{name}_corr' in part for part in means for name in SIGNALS):
        return None
    return markdown_table(('model', *SIGNALS.values()), [
        (result['name'], *(cell(part, name) for name in SIGNALS))
        for result, part in zip(results, means, strict=True)])


def model_table(results: Sequence[Result]) -> str:
    """Size, cost and training of the models, in Markdown."""
    def million(value: float | None) -> str:
        return '-' if value is None else f'{value / 1e6:.3g}'

    return markdown_table(
        ('model', 'parameters, M', 'MFLOPs a frame',
         'iterations of the last phase'),
        [(result['name'], million(result.get('parameters')),
          million(result.get('flops_per_frame')),
          str(result.get('iterations') or '-')) for result in results])


def compare(results: Sequence[Result], baseline: str | None = None) -> str:
    """All tables in Markdown.

    Args:
        results: Of the same clips.
        baseline: Name of the model that others are compared with; None: the
            first.

    Raises:
        ValueError: If results cannot be compared.
    """
    check_comparable(results)
    base = choose_baseline(results, baseline)
    data = base['data']
    ordered = [base, *(result for result in results if result is not base)]
    parts = [
        f"{data['num_clips']} clips of {data['clip_length']} frames, "
        f"{data['image_size']} pixels, split '{data['split']}'. In brackets: "
        f"difference to {base['name']} and its 95 % interval (paired "
        'bootstrap over clips).\n', model_table(ordered)]
    for level in base['levels']:
        means = base['levels'][level]['means']
        known = [text.format(means[name]) for name, text in _TRUTH.items()
                 if means.get(name) is not None]
        note = f" ({'; '.join(known)})" if known else ''
        parts += [f'### {level}{note}\n', level_table(ordered, base, level)]
        if where := where_table(ordered, base, level):
            parts += ['Posed mm by what happened to the frames (mean over '
                      'clips, share of the frames):\n', where]
        if motion := motion_table(ordered, level):
            parts += ['Motion within the clips: correlation with the truth, '
                      'amplitude relative to it (a face that stands still '
                      'has 0.00, 0.00):\n', motion]
    return '\n'.join(parts)
