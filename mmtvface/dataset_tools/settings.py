# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a clip must be like, how it is made, and how clips become a set."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmtvface.tracking.settings import detector_names
from mmtvface.utils.settings import Settings, option

MASKS = ('outline', 'parsing', 'none')
IMAGE_FORMATS = ('jpg', 'png')
SPLITS = ('train', 'val', 'test')
GROUPS = ('video', 'folder')


@dataclass(frozen=True)
class ClipSettings(Settings):
    """Settings of :func:`mmtvface.dataset_tools.clip_maker.extract_clips`.

    Sizes of faces are the mean of width and height of the landmarks' box in
    pixels of the video.
    """

    backend: str = option('mediapipe', 'what finds faces and landmarks',
                          choices=detector_names)
    backend_options: dict[str, Any] = option(
        dict, 'of that detector, for example the folder of its weights')
    masks: str = option(
        'outline', "skin masks: the landmarks' outline without eyes and "
        'mouth, by BiSeNet through facexlib, or none', choices=MASKS)
    parsing_weights: str = option(
        '', "path of BiSeNet's weights, for --masks parsing")
    device: str = option('cpu', 'where networks of torch run')
    detect_every: int = option(
        5, 'faces are searched on every n-th frame and followed in between',
        least=1)
    max_faces: int = option(
        0, 'most people at a time, the largest faces; 0: no limit', least=0)
    max_gap: int = option(
        12, 'frames for which a face may be hidden and keep its track',
        least=0)
    cut_threshold: float = option(
        27., "of PySceneDetect's content detector; lower finds more cuts",
        least=1)
    margin: float = option(
        2.2, 'side of the stored squares relative to the face; training '
        'crops up to 1.8 of it and shifts them', least=1, most=10)
    max_side: int = option(
        384, 'larger squares are reduced to this side, in pixels; smaller '
        'ones keep their resolution', least=16)
    image_format: str = option('jpg', 'of the frames', choices=IMAGE_FORMATS)
    quality: int = option(95, 'of the JPEG files', least=1, most=100)
    min_size: float = option(64., 'least size of a face in pixels', least=0)
    min_sharpness: float = option(
        0.004, 'least sharpness, see mmtvface.dataset_tools.clip_quality',
        least=0)
    max_yaw: float = option(
        75., 'largest turn of the head to a side in degrees', least=0,
        most=180)
    min_confidence: float = option(
        0.5, 'least confidence of the landmarks', least=0, most=1)
    min_length: int = option(10, 'least frames of a clip', least=1)
    max_length: int = option(
        500, 'most frames of a clip; longer runs become several clips')
    max_still: float = option(
        0.5, 'largest share of frames in which nothing moves (a photograph, '
        'a frozen picture)', least=0, most=1)
    segment_length: int = option(
        1500, 'a shot is processed in pieces of at most so many frames; what '
        'is finished is safe after each')

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('max_length', 'segment_length'):
            if getattr(self, name) < self.min_length:
                raise ValueError(
                    f'{name} must be at least {self.min_length}, which is '
                    f'min_length, but it is {getattr(self, name)}.')
        if self.masks == 'parsing' and not self.parsing_weights:
            raise ValueError(
                "masks='parsing' needs parsing_weights, the path of "
                "BiSeNet's weights (parsing_bisenet.pth of facexlib).")

    def as_dict(self) -> dict[str, Any]:
        """All settings, as JSON can store them."""
        return asdict(self)

    def fingerprint(self) -> str:
        """Short text that differs where results would.

        The device makes the same clips.
        """
        values = {k: v for k, v in self.as_dict().items() if k != 'device'}
        text = json.dumps(values, sort_keys=True, default=str)
        return hashlib.sha1(text.encode()).hexdigest()[:10]


def check_ratios(ratios: Mapping[str, float]) -> None:
    """Check shares of the frames by splits.

    Raises:
        ValueError: If a split is unknown or they are negative or all 0.
    """
    if (set(ratios) - set(SPLITS) or not 0 < sum(ratios.values()) < (
            float('inf')) or any(value < 0 for value in ratios.values())):
        raise ValueError(f'ratios must be shares >= 0 of {SPLITS}, not all '
                         f'0, but they are {dict(ratios)}.')


@dataclass(frozen=True)
class SetOptions(Settings):
    """How clips become a set.

    Attributes:
        ratios: Split -> share of the frames.
        embedder: Recognises people over videos, see
            :func:`~.identities.build_embedder`.
    """

    ratios: Mapping[str, float] = field(
        default_factory=lambda: dict(train=.8, val=.1, test=.1))
    group_by: str = option(
        'video', 'what is never divided, besides people: a video, or all '
        'videos of a folder (a series, in which the same actors return)',
        choices=GROUPS)
    identities: str = option(
        '', 'people you know: {"<clip or track>": "name"}', metavar='JSON')
    embedder: Any = None
    same_person: float = option(
        0.6, 'least cosine of two tracks of one person')
    seed: int = option(0, 'of the division')

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ratios(self.ratios)
