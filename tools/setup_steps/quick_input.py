# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the quickstart is given, looked at before minutes go into it."""

import importlib
import importlib.util
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

from .progress import say

ROOT = Path(__file__).resolve().parents[2]
LOOK_AT = 30  # frames in which a face is looked for at first


class QuickstartError(Exception):
    """A reason to stop, phrased for the user."""


def shown(path: str | Path) -> str:
    """A path as the user would type it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative


def check_path(path: Path) -> None:
    """Refuse at once what cannot be an input, before anything is imported.

    Raises:
        QuickstartError: If there is nothing at the path.
    """
    if not path.exists():
        raise QuickstartError(
            f'There is no file or folder named {path}: check the path (an '
            'image, a folder of frames, a clip folder or a video).')
    if path.is_dir() and not any(p.is_file() for p in path.rglob('*')):
        raise QuickstartError(
            f'The folder {path} is empty: give a folder with images, or one '
            'with a folder jpg/ of images in it.')
    if path.is_file() and path.stat().st_size == 0:
        raise QuickstartError(f'The file {path} is empty: copy it again.')


def check_input(path: Path) -> None:
    """Look at the input before minutes go into a training.

    Raises:
        QuickstartError: If it cannot be read or shows no face.
    """
    from mmtvface.tracking import landmark_detector
    from mmtvface.tracking.frame_source import open_frames
    readable = 0
    try:
        with ExitStack() as stack:
            frames, detector = open_frames(path), None
            for number, frame in enumerate(frames):
                if frame.image is None:
                    continue
                if frame.landmarks is not None or number >= LOOK_AT:
                    return
                readable += 1
                if detector is None:
                    say(f'looking for a face in {shown(path)} (the first '
                        f'{LOOK_AT} frames at most)')
                    # As the reconstruction will look: the slow search for
                    # small faces, part by part, is for single images.
                    detector = stack.enter_context(
                        landmark_detector.MediaPipeLandmarkDetector(
                            video=frames.consecutive and len(frames) != 1))
                if len(detector(frame.image)):
                    return
    except (OSError, ValueError, ImportError) as error:
        raise QuickstartError(str(error)) from None
    if not readable:
        raise QuickstartError(
            f'No frame of {path} can be read: give an image, a folder of '
            'frames, a clip folder or a video.')
    raise QuickstartError(
        f'No face was found in {path} ({readable} frame(s)): give a picture '
        'with an upright face of at least about 40 pixels, or a clip folder '
        'with landmarks (kpt/).')


def add_temporal(config: Path) -> None:
    """Install mmagic and mmcv's operators if a config's model needs them.

    Raises:
        QuickstartError: If they are needed and cannot be installed.
    """
    from mmengine.config import Config
    text = Config.fromfile(config).pretty_text
    if not ('TemporalResNet' in text or 'mmagic.' in text):
        return
    if all(importlib.util.find_spec(name) for name in ('mmcv', 'mmagic')):
        return
    say(f'{shown(config)} has a temporal model: adding what it needs')
    command = ['bash', str(ROOT / 'tools' / 'bootstrap.sh'), 'temporal']
    if subprocess.run(command).returncode:
        raise QuickstartError(
            'what temporal models need could not be added: mend the cause '
            f'above, then run "bash {shown(command[1])} temporal".')
    importlib.invalidate_caches()
