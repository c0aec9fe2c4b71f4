# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a clip must be like, and how it is made."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_origin

MASKS = ('outline', 'parsing', 'none')
IMAGE_FORMATS = ('jpg', 'png')


@dataclass(frozen=True)
class ClipSettings:
    """Settings of :func:`mmtvface.dataset_tools.clip_maker.extract_clips`.

    Sizes of faces are the mean of width and height of the landmarks' box in
    pixels of the video.

    Attributes:
        backend: What finds faces and landmarks, 'mediapipe' or
            'face-alignment'.
        backend_options: Of that back-end, for example the folder of its
            weights.
        masks: 'outline' (the landmarks' outline without eyes and mouth),
            'parsing' (BiSeNet through facexlib) or 'none'.
        parsing_weights: Path of BiSeNet's weights, for 'parsing'.
        device: Where networks of torch run.
        detect_every: Faces are searched on every n-th frame and followed in
            between.
        max_faces: Most people at a time, the largest faces; 0: no limit.
        max_gap: Frames for which a face may be hidden and keep its track.
        cut_threshold: Of PySceneDetect's content detector; lower finds more
            cuts.
        margin: Side of the stored squares relative to the face; training
            crops up to 1.8 of it and shifts them.
        max_side: Larger squares are reduced to this side, in pixels; smaller
            ones keep their resolution.
        image_format: 'jpg' or 'png'.
        quality: Of the JPEG files, 1 to 100.
        min_size: Least size of a face in pixels.
        min_sharpness: Least sharpness, see
            :func:`mmtvface.dataset_tools.clip_quality.sharpness`.
        max_yaw: Largest turn of the head to a side in degrees.
        min_confidence: Least confidence of the landmarks, 0 to 1.
        min_length: Least frames of a clip.
        max_length: Most frames of a clip; longer runs become several clips.
        max_still: Largest share of frames in which nothing moves (a
            photograph, a frozen picture).
        segment_length: A shot is processed in pieces of at most so many
            frames; what is finished is safe after each.
    """

    backend: str = 'mediapipe'
    backend_options: dict[str, Any] = field(default_factory=dict)
    masks: str = 'outline'
    parsing_weights: str = ''
    device: str = 'cpu'
    detect_every: int = 5
    max_faces: int = 0
    max_gap: int = 12
    cut_threshold: float = 27.
    margin: float = 2.2
    max_side: int = 384
    image_format: str = 'jpg'
    quality: int = 95
    min_size: float = 64.
    min_sharpness: float = 0.004
    max_yaw: float = 75.
    min_confidence: float = 0.5
    min_length: int = 10
    max_length: int = 500
    max_still: float = 0.5
    segment_length: int = 1500

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is of a wrong type, unknown or out of range.
        """
        for entry in fields(self):
            kind = get_origin(entry.type) or entry.type
            value = getattr(self, entry.name)
            fits = (int, float) if kind is float else kind
            if not isinstance(value, fits) or isinstance(value, bool):
                raise ValueError(
                    f'{entry.name} must be of the type {kind.__name__}, but '
                    f'it is {value!r}.')
        for name, choices in (('masks', MASKS),
                              ('image_format', IMAGE_FORMATS)):
            if getattr(self, name) not in choices:
                raise ValueError(f'{name} must be one of {choices}, but it '
                                 f'is {getattr(self, name)!r}.')
        for name, low, high in (
            ('detect_every', 1, None), ('max_faces', 0, None),
            ('max_gap', 0, None), ('cut_threshold', 1, None),
            ('margin', 1, 10), ('max_side', 16, None), ('quality', 1, 100),
            ('min_size', 0, None), ('min_sharpness', 0, None),
            ('min_confidence', 0, 1), ('max_yaw', 0, 180),
            ('min_length', 1, None), ('max_still', 0, 1),
            ('max_length', self.min_length, None),
            ('segment_length', self.min_length, None)):
            value = getattr(self, name)
            if not value >= low or (high is not None and value > high):
                raise ValueError(
                    f'{name} must be at least {low}'
                    + (f' and at most {high}' if high is not None else '')
                    + f', but it is {value}.')
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
