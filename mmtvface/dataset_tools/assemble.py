# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From finished clips to a set: duplicates, people, splits, manifest."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtvface.datasets.manifest import FORMAT, MANIFEST, VERSION, read_manifest

from .clip_maker import (
    SPLITS,
    SplitItem,
    VideoState,
    assign_splits,
    find_duplicates,
)
from .clip_maker.clip_writer import write_json
from .clip_maker.video_state import CLIPS
from .finished_clips import FinishedClip, collect_clips
from .identities import clip_embeddings, link_people, read_identities
from .settings import SetOptions


@dataclass
class ClipSet:
    """What a set consists of.

    Attributes:
        root: Its folder.
        manifest: What was written to manifest.json.
        duplicates: Clip -> the one that shows the same.
        lost: Clips that somebody has removed.
        clips: Clip -> where it lies.
    """

    root: Path
    manifest: dict[str, Any]
    duplicates: dict[str, str]
    lost: list[str]
    clips: list[FinishedClip]


def assemble_set(out: Path, states: Sequence[VideoState],
                 settings: Mapping[str, Any],
                 options: SetOptions | None = None) -> ClipSet:
    """Give every finished clip its place and write the manifest.

    Can be interrupted and repeated at any point: each clip is moved in one
    step, and the manifest, written last, is replaced in one step.

    Args:
        out: Folder of the set.
        states: Of all its videos.
        settings: Stored in the manifest.
        options: How it is divided.

    Returns:
        The set.

    Raises:
        ValueError: If an older manifest or a clip is damaged.
        OSError: If clips cannot be moved.
    """
    options = options or SetOptions()
    before = _read_division(out)
    clips, lost = collect_clips(out, list(states))
    # What was kept once is kept.
    clips.sort(key=lambda clip: (clip.name not in before, clip.state.key,
                                 clip.summary['first_frame'], clip.name))
    duplicates = find_duplicates([clip.signature() for clip in clips])
    for clip in clips:
        if clip.name in duplicates:  # an interrupted run may have moved it
            _move(clip, clip.state.folder / CLIPS / clip.name)
    clips = [clip for clip in clips if clip.name not in duplicates]
    people = name_people(clips, options)
    splits = assign_splits([
        SplitItem(clip.name, (f'group {_group(clip, options)}',
                              f'person {person}'),
                  clip.summary['num_frames'],
                  before.get(clip.name, {}).get('split', ''))
        for clip, person in zip(clips, people, strict=True)
    ], options.ratios, options.seed)
    placed, entries = [], []
    for clip, person, split in zip(clips, people, splits, strict=True):
        placed.append(_move(clip, out / split / clip.name))
        entries.append({
            **clip.summary, 'split': split, 'path': f'{split}/{clip.name}',
            'identity': person, 'video': clip.state.key})
    entries.sort(key=lambda entry: entry['id'])
    manifest = dict(
        format=FORMAT, version=VERSION, settings=dict(settings),
        splits={name: _count(entries, name) for name in SPLITS},
        clips=entries,
        videos=[_video(state) for state in states],
        duplicates=duplicates)
    write_json(out / MANIFEST, manifest)
    return ClipSet(out, manifest, duplicates, lost, placed)


def _read_division(out: Path) -> dict[str, dict[str, Any]]:
    """Entries of the manifest by clip, none if there is no manifest."""
    if not (out / MANIFEST).is_file():
        return {}
    try:
        return {clip['id']: clip for clip in read_manifest(out)}
    except ValueError as error:
        raise ValueError(
            f'{error} To go on with this set, restore the file, or remove it '
            'and run again; then the clips are divided anew.') from error


def _move(clip: FinishedClip, target: Path) -> FinishedClip:
    """Bring a clip to its place, in one step."""
    if clip.folder == target:
        return clip
    target.parent.mkdir(exist_ok=True)
    old = clip.state.folder / 'replaced'
    shutil.rmtree(old, ignore_errors=True)
    if target.is_dir():
        # Of an earlier time, before the video was processed anew.
        os.replace(target, old)
    os.replace(clip.folder, target)
    shutil.rmtree(old, ignore_errors=True)
    return FinishedClip(clip.summary, clip.state, target)


def name_people(clips: Sequence[FinishedClip], options: SetOptions
                ) -> list[str]:
    """Person of every clip.

    What the user says goes first, then faces that are alike, then the track.
    A name also holds for the clips with faces like those of the named ones,
    unless these have several names.

    Raises:
        FileNotFoundError: If the file of identities is not there.
        ValueError: If it is no such file.
    """
    people = [clip.track for clip in clips]
    if options.embedder is not None and clips:
        people = link_people(people, clip_embeddings(clips, options.embedder),
                             options.same_person)
    if options.identities:
        named = read_identities(options.identities)
        own = [named.get(clip.name, named.get(clip.track)) for clip in clips]
        names: dict[str, set[str]] = {}
        for name, person in zip(own, people, strict=True):
            if name is not None:
                names.setdefault(person, set()).add(name)
        people = [
            name or (min(names[person]) if len(names.get(person, ())) == 1
                     else person)
            for name, person in zip(own, people, strict=True)]
    return people


def _group(clip: FinishedClip, options: SetOptions) -> str:
    source = clip.state.source
    return (clip.state.key if options.group_by == 'video'
            else source['folder'])


def _count(entries: Sequence[Mapping[str, Any]], split: str
           ) -> dict[str, int]:
    chosen = [entry for entry in entries if entry['split'] == split]
    return dict(clips=len(chosen),
                frames=sum(entry['num_frames'] for entry in chosen),
                identities=len({entry['identity'] for entry in chosen}),
                videos=len({entry['video'] for entry in chosen}))


def _video(state: VideoState) -> dict[str, Any]:
    return dict(key=state.key, **state.source, fps=state.fps,
                frames=state.frames, faces=state.faces,
                clips=len(state.clips), problem=state.problem,
                finished=state.finished,
                lost_frames=dict(state.lost_frames),
                lost_clips=dict(state.lost_clips))

