# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What can be chosen for an animation; imports nothing heavy."""

from dataclasses import dataclass, field

from mmtvface.utils.settings import Settings, option

#: Where colours come from: the albedo model, or the subject's own frame.
TEXTURES = ('model', 'photo')
#: Where the pose of the head comes from.
POSES = ('driver', 'source', 'fixed')
#: What can be saved besides the video of a transfer.
SAVES = ('codes', 'obj', 'dense')
#: Cameras of the animated head.
CAMERAS = ('source', 'fit')
#: Coefficient at the peak of an expression: a strong one, two sigma.
STRENGTH = 2.
#: Jaw angle of a wide open mouth, radians.
JAW_OPEN = .35
_SOURCE_FRAME = ("number (from 0) or name of the source's frame whose codes "
                 'are taken (default: a robust mean over all frames)')


@dataclass(frozen=True)
class Look(Settings):
    """How animations are drawn."""

    size: int = option(384, 'side of each picture in pixels', least=16)
    background: int = option(
        255, 'grey behind heads, 0 to 255', least=0, most=255)
    texture: str = option(
        'model', "colours from the albedo model in the source's light, or "
        "from the source's own frame as it is, and what it does not show from "
        'the albedo model', choices=TEXTURES)
    detail: bool = option(True, 'without the detail branch', flag='coarse')


@dataclass(frozen=True)
class TransferOptions(Settings):
    """How expressions are transferred."""

    look: Look = field(default_factory=Look)
    pose: str = option(
        'driver', 'where the rotation of the head comes from', choices=POSES)
    angles: tuple[float, float, float] = option(
        (0., 0., 0.), 'of --pose fixed, degrees; positive: to the person\'s '
        'left, down, right shoulder', metavar=('YAW', 'PITCH', 'ROLL'))
    relative: bool = option(
        False, "add the change of the expression from the driver's neutral "
        "face to the source's own")
    neutral_frame: str | int | None = option(
        None, "number or name of the driver's frame with a neutral face, for "
        '--relative (default: the median over all frames)', metavar='FRAME')
    source_frame: str | int | None = option(
        None, _SOURCE_FRAME, metavar='FRAME')
    camera: str = option(
        'source', 'size of the face as the source has it, looking at the '
        'middle of all places of the face, or so that the whole head is '
        'seen; neither moves', choices=CAMERAS)
    save: tuple[str, ...] = option(
        ('codes', ), f'what to write beside the video, of: {" ".join(SAVES)}',
        choices=SAVES, metavar='KIND', nargs='*')
    fps: float | None = option(
        None, 'frames per second (default: as the driver, whose frames keep '
        'their times)', above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neutral_frame is not None and not self.relative:
            raise ValueError('neutral_frame has no effect without '
                             'relative=True.')


@dataclass(frozen=True)
class TeaserOptions(Settings):
    """What a teaser shows."""

    look: Look = field(default_factory=lambda: Look(size=512))
    frames: int = option(
        300, 'length of the video, at least a frame for each part', least=2)
    fps: float = option(25., 'frames per second', above=0)
    turn_share: float = option(
        .4, 'share of the frames in which the head turns', above=0, below=1)
    yaw: float = option(60., 'largest turn to each side, degrees')
    pitch: float = option(8., 'largest nod on the way, degrees')
    expressions: tuple[str, ...] | None = option(
        None, 'expressions in their order: numbers of components, names of '
        "the built-in head's (both sides without _L or _R), several joined "
        "by '+', or 'jaw' (default: a choice)", metavar='NAME')
    strength: float = option(
        STRENGTH, 'coefficient at the peak of an expression')
    jaw: float = option(JAW_OPEN, 'angle of the open mouth, radians')
    source_frame: str | int | None = option(
        None, _SOURCE_FRAME, metavar='FRAME')
