# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What was kept, what was dropped, and why: for people to read."""

import base64
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmtvface.utils.atomic import atomic_path
from mmtvface.visualization.drawing import (
    add_caption,
    draw_landmarks,
    image_grid,
    spread,
)

from .assemble import ClipSet
from .clip_maker import SPLITS, VideoState
from .finished_clips import FinishedClip

REPORT, PAGE, SHEET = 'report.txt', 'report.html', 'contact_sheet.png'
_CELL = 160  # side of a thumbnail in pixels
_FRAMES = 3  # thumbnails of a clip
_SHEET_CLIPS, _PAGE_CLIPS = 48, 400

_STYLE = """body{font:15px/1.5 sans-serif;margin:2em auto;max-width:1520px;
padding:0 1em;color:#222}
pre{background:#f4f4f4;padding:1em;white-space:pre-wrap}
figure{display:inline-block;margin:6px;vertical-align:top;width:480px}
img{width:100%;display:block}
figcaption{font-size:12px;overflow-wrap:anywhere}"""


def report_text(made: ClipSet, states: Sequence[VideoState],
                skipped: Mapping[str, str], errors: Mapping[str, str]) -> str:
    """The report as plain text.

    Args:
        made: The set.
        states: Of its videos.
        skipped: Path -> why it was not opened.
        errors: Key of a video -> why its processing failed.
    """
    entries = made.manifest['clips']
    frames = sum(state.frames for state in states)
    kept = sum(entry['num_frames'] for entry in entries)
    faces = sum(state.faces for state in states)
    lines = [
        f'{made.root}',
        f'{len(states)} videos, {frames} frames, {faces} faces in them: '
        f'{len(entries)} clips with {kept} frames kept.', '',
        f'{"split":8}{"clips":>8}{"frames":>10}{"people":>8}{"videos":>8}']
    for name in SPLITS:
        count = made.manifest['splits'][name]
        lines.append(f'{name:8}{count["clips"]:8}{count["frames"]:10}'
                     f'{count["identities"]:8}{count["videos"]:8}')
    empty = [name for name in SPLITS if not made.manifest['splits'][name][
        'clips'] and made.manifest['settings'].get('ratios', {}).get(name)]
    if entries and empty:
        lines += ['', f'No clips in {" and ".join(empty)}: a video is never '
                  'divided, and there are too few that share no person.']
    lines += _losses('Faces not used, by frames', sum(
        (state.lost_frames for state in states), Counter()))
    lost = sum((state.lost_clips for state in states), Counter())
    if made.duplicates:
        lost['shows the same as another clip (see manifest.json)'] = len(
            made.duplicates)
    if made.lost:
        lost['removed from the folder by somebody'] = len(made.lost)
    lines += _losses('Runs of frames that became no clip', lost)
    lines += _troubles(states, skipped, errors)
    lines += ['', 'Videos', f'  {"frames":>8}{"clips":>7}{"kept":>7}'
              '  name']
    clips, used = Counter(), Counter()
    for entry in entries:
        clips[entry['video']] += 1
        used[entry['video']] += entry['num_frames']
    for state in states:
        # Several people in a frame give several frames of clips.
        share = used[state.key] / max(state.faces, 1)
        lines.append(f'  {state.frames:8}{clips[state.key]:7}'
                     f'{share:7.0%}  {state.key}'
                     f'{_warning(state, clips[state.key])}')
    lines += ['', 'kept: share of the faces found that are in clips']
    return '\n'.join(lines) + '\n'


def _troubles(states: Sequence[VideoState], skipped: Mapping[str, str],
              errors: Mapping[str, str]) -> list[str]:
    """What somebody should look at, first."""
    lines = [f'  {key}: failed, will be tried again: {error}'
             for key, error in errors.items()]
    lines += [f'  {state.key}: {state.problem}'
              for state in states if state.problem]
    lines += [f'  {state.key}: not finished' for state in states
              if not state.finished and state.key not in errors]
    lines += [f'  {path}: skipped, {reason}'
              for path, reason in skipped.items()]
    return ['', 'Look at these', *lines] if lines else []


def _warning(state: VideoState, kept: int) -> str:
    """Why a video has no clip."""
    if state.problem:
        return ': see above'
    if kept or not state.finished:
        return ''
    if state.clips:
        return ': all its clips are duplicates or removed'
    if not state.faces:
        return ': no face'
    return ': no usable run, ' + ', '.join(_most(state.lost_frames))


def _losses(title: str, lost: Counter) -> list[str]:
    if not lost:
        return []
    return ['', title, *(f'  {count:8}  {reason}'
                         for reason, count in lost.most_common())]


def _most(lost: Counter) -> list[str]:
    return [f'{reason} {count} frames'
            for reason, count in lost.most_common(3)]


def thumbnails(clip: FinishedClip) -> list[np.ndarray]:
    """Small pictures of a clip: (S, S, 3) uint8 RGB with landmarks."""
    pictures = []
    for image, points in clip.pick(_FRAMES):
        zoom = _CELL / image.shape[0]
        small = cv2.resize(image, (_CELL, _CELL),
                           interpolation=cv2.INTER_AREA)
        pictures.append(draw_landmarks(
            small, (points + .5) * zoom - .5, radius=.8, lines=False))
    return pictures


def write_report(made: ClipSet, text: str) -> list[Path]:
    """Write report.txt, report.html and contact_sheet.png.

    The page needs no other file; it and the sheet show clips spread over the
    set where there are too many.

    Returns:
        The files.
    """
    root = made.root
    with atomic_path(root / REPORT) as part:
        part.write_text(text, encoding='utf-8')
    chosen = [made.clips[i] for i in spread(len(made.clips), _PAGE_CLIPS)]
    pictures = {clip.name: thumbnails(clip) for clip in chosen}
    splits = {entry['id']: entry['split']
              for entry in made.manifest['clips']}
    with atomic_path(root / PAGE) as part:
        part.write_text(_page(text, chosen, pictures, splits,
                              len(made.clips)),
                        encoding='utf-8')
    files = [root / REPORT, root / PAGE]
    if not chosen:
        return files
    rows: list[list[np.ndarray]] = [[]]
    for i in spread(len(chosen), _SHEET_CLIPS):
        clip = chosen[i]
        cells = list(pictures[clip.name])
        cells[0] = add_caption(
            cells[0], f'{splits[clip.name]} {clip.summary["num_frames"]}')
        if len(rows[-1]) + len(cells) > 12:
            rows.append([])
        rows[-1] += cells
    sheet = image_grid(rows, (_CELL, _CELL))
    with atomic_path(root / SHEET) as part:
        cv2.imwrite(str(part), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return [*files, root / SHEET]


def _page(text: str, clips: Sequence[FinishedClip],
          pictures: Mapping[str, Sequence[np.ndarray]],
          splits: Mapping[str, str], total: int) -> str:
    """The report as a page with pictures, split by split."""
    figures: dict[str, list[str]] = {name: [] for name in SPLITS}
    for clip in clips:
        strip = np.concatenate(pictures[clip.name], axis=1)
        data = cv2.imencode('.jpg', cv2.cvtColor(strip, cv2.COLOR_RGB2BGR),
                            [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        frames, quality = clip.summary['num_frames'], clip.summary['quality']
        seconds = frames / max(clip.summary['fps'], 1e-3)
        figures[splits[clip.name]].append(
            '<figure><img src="data:image/jpeg;base64,'
            f'{base64.b64encode(data).decode()}" alt="">'
            f'<figcaption><b>{html.escape(clip.name)}</b> '
            f'{frames} frames, {seconds:.1f} s<br>'
            f'face {quality["size"]:.0f} pixels, '
            f'yaw {quality["yaw"]:+.0f}\u00b0, '
            f'pitch {quality["pitch"]:+.0f}\u00b0, '
            f'roll {quality["roll"]:+.0f}\u00b0, '
            f'sharpness {quality["sharpness"]:.3g}, '
            f'confidence {quality["confidence"]:.2f}</figcaption></figure>')
    parts = ''.join(f'<h2>{name}</h2>' + '\n'.join(figures[name])
                    for name in SPLITS if figures[name])
    more = ('' if total == len(clips) else
            f'<p>{len(clips)} of {total} clips are shown.</p>')
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<title>Clips</title><style>{_STYLE}</style></head><body>'
            f'<h1>Clips</h1><pre>{html.escape(text)}</pre>{more}{parts}'
            '</body></html>\n')
