# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How bad the pictures of each grade of SynthTV are."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Grade:
    """Ranges of what happens between a face and the file.

    A pair is the range of a strength that is drawn once per clip; how it
    then changes from frame to frame is said below. Lengths are fractions of
    the image side, so that one table serves every size; grey levels are of
    255; times are in frames at 25 per second.

    Attributes:
        resolution: Factor by which the face is smaller in the video than in
            the crop. Noise and compression act at that size.
        defocus: Standard deviation of the blur of a lens at rest.
        hunt_prob: Probability that the autofocus hunts.
        hunt: Standard deviation added at the worst moment of a hunt; it comes
            and goes at 0.5 to 2 Hz.
        shutter: Exposure as a fraction of the frame interval. The blur of a
            frame is along the true motion of the head in that frame and the
            shake of the camera.
        shake: Speed of the camera's shake, fraction of the side per frame
            (standard deviation). The crop follows the face, so that only the
            blur of it is seen.
        noise: Standard deviation of the sensor's noise, new in every frame.
        cast: Largest relative difference of the channels' gains.
        contrast: Largest logarithm of the gamma.
        saturation: Largest change of the saturation.
        flicker: Amplitude of brightness that pulses with the lamps at 2 to
            12 Hz, their beat with the frame rate.
        step_prob: Probability per frame that the exposure jumps.
        step: Largest logarithm (base 2: stops) of such a jump, after which
            the automatic gain returns in about five frames.
        quality: JPEG quality of key frames.
        drop: By how much the quality of predicted frames is lower.
        gop: Frames from one key frame to the next.
        occluder_prob: Probability that something passes in front of the face.
        passage: Frames from its coming to its going.
        nearness: Smallest distance of its tip from the middle of the image.
        freeze_prob: Probability per frame that the picture stands still.
        error_prob: Probability per frame that macro-blocks are lost; they
            stay wrong until the next key frame.
    """

    resolution: Range
    defocus: Range
    hunt_prob: float
    hunt: Range
    shutter: Range
    shake: Range
    noise: Range
    cast: float
    contrast: float
    saturation: float
    flicker: Range
    step_prob: float
    step: float
    quality: Range
    drop: Range
    gop: Range
    occluder_prob: float
    passage: Range
    nearness: Range
    freeze_prob: float
    error_prob: float


GRADES: dict[str, Grade] = {
    # A studio in HD: tripod, steady light, sharp lens, a generous bit rate.
    'easy': Grade(
        resolution=(1., 1.), defocus=(0., .005), hunt_prob=0., hunt=(0., 0.),
        shutter=(.2, .5), shake=(0., .004), noise=(.5, 2.5), cast=.03,
        contrast=.08, saturation=.1, flicker=(0., .01), step_prob=0.,
        step=0., quality=(75, 95), drop=(0, 5), gop=(12, 25),
        occluder_prob=.05, passage=(15, 40), nearness=(.3, .55),
        freeze_prob=0., error_prob=0.),
    # Ordinary broadcast or web video: a face in a wide shot, some noise, a
    # modest bit rate, a hand or a caption now and then.
    'medium': Grade(
        resolution=(1., 1.5), defocus=(.002, .01), hunt_prob=.3,
        hunt=(.005, .015), shutter=(.4, .8), shake=(.003, .015),
        noise=(2., 8.), cast=.08, contrast=.15, saturation=.25,
        flicker=(.005, .04), step_prob=.01, step=.3, quality=(35, 75),
        drop=(2, 12), gop=(10, 20), occluder_prob=.3, passage=(8, 30),
        nearness=(.15, .5), freeze_prob=.005, error_prob=.005),
    # A bad webcam, an old tape, a telephone in the hand at night: all of it
    # at once, and much of it different in the next frame.
    'hard': Grade(
        resolution=(1.3, 2.2), defocus=(.003, .012), hunt_prob=.6,
        hunt=(.01, .03), shutter=(.5, 1.), shake=(.008, .035),
        noise=(6., 20.), cast=.15, contrast=.25, saturation=.4,
        flicker=(.02, .12), step_prob=.05, step=1., quality=(12, 40),
        drop=(2, 8), gop=(6, 12), occluder_prob=.7, passage=(5, 20),
        nearness=(0., .4), freeze_prob=.03, error_prob=.02),
}
"""Grade by name, from the best to the worst pictures."""

DIFFICULTIES = (*GRADES, 'mixed')
"""What a dataset may show; 'mixed' draws a grade for every clip."""
