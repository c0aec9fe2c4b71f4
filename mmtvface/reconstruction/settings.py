# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Everything that can be chosen for a reconstruction.

The only place for these defaults, checks and texts: the command ``mmtvface
reconstruct`` and :class:`mmtvface.apis.FaceReconstructor` are views of it.
"""

from dataclasses import dataclass, field

from mmtvface.tracking.settings import TrackingSettings
from mmtvface.utils.settings import Settings, option

IDENTITIES = ('track', 'frame')
SMOOTHERS = ('one-euro', 'savgol')
#: Steps of refinement unless they are chosen.
DEFAULT_REFINE = 2


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """How crops go through the model."""

    clip_length: int | None = option(
        None, 'frames per clip of the temporal model; 1: each frame by '
        'itself (default: as the config says)', least=1)
    overlap: int | None = option(
        None, 'frames that successive clips have in common, whose codes are '
        'blended, or that a model that remembers what was before sees ahead '
        '(default: as the config says, else half of a clip, or 40 frames per '
        'clip and 80 ahead)', least=0)
    single_frame: bool = option(
        False, 'the model sees one frame at a time, as with clip length 1')
    batch_size: int = option(
        1, 'clips that go through the model at once', least=1)
    restore: tuple[str, str] | None = option(
        None, 'video restorer of mmagic (config file, or mmagic:: and its '
        'path in mmagic/configs) that the crops of the faces go through '
        'first; for faces of less than some 64 pixels or bad quality',
        metavar=('CONFIG', 'CHECKPOINT'))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.single_frame and self.clip_length not in (None, 1):
            raise ValueError(
                'single_frame means a clip_length of 1, but it is '
                f'{self.clip_length}: leave one of them out.')

    @property
    def length(self) -> int | None:
        """Frames per clip, None: as the config says."""
        return 1 if self.single_frame else self.clip_length


@dataclass(frozen=True)
class FinishSettings(Settings):
    """What is done to the codes of a track when all of them are known.

    Without a value for ``refine``,
    :class:`~.face_reconstructor.Reconstructor`, which knows the head, decides.
    """

    identity: str = option(
        'track', 'shape, albedo and wrinkles of each face: one for all its '
        'frames, the robust mean, or as the model gives them',
        choices=IDENTITIES)
    refine: int | None = option(
        None, 'Gauss-Newton steps that bring the head into line with the '
        'landmarks, and albedo and light with the colours; 0: what the '
        f'network says (default: {DEFAULT_REFINE}; none with --identity '
        'frame, or without a FLAME head)', least=0, metavar='N')
    smooth: str | None = option(
        None, 'filter the motion; what it costs is in metrics.json',
        choices=SMOOTHERS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refine and self.identity == 'frame':
            raise ValueError("refine corrects one identity per track; it "
                             "does not go with identity='frame'.")


@dataclass(frozen=True)
class ReconstructSettings(Settings):
    """Settings of :class:`mmtvface.apis.FaceReconstructor`."""

    device: str | object | None = option(
        None, 'cpu, cuda, cuda:1, ... (default: cuda if there is one)')
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    finish: FinishSettings = field(default_factory=FinishSettings)


@dataclass(frozen=True)
class InputSettings(Settings):
    """How an input is read."""

    fps: float | None = option(
        None, 'frames per second, for filters and videos (default: as the '
        'input, or 25)', above=0)
    independent: bool = option(
        False, 'the frames do not follow one another: each is reconstructed '
        'by itself')
