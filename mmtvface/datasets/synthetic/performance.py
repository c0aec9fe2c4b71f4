# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Who is in a synthetic clip and what they do: all codes but the camera."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtvface.geometry.rotation import euler_to_axis_angle

from .light import draw_light
from .trajectories import (
    FPS,
    activation,
    blinks,
    gaze,
    head_motion,
    smooth_noise,
    speech,
)

SPLITS = ('train', 'val', 'test')
_SIDES = ('_l', '_r', '_left', '_right', 'left', 'right')
_EYELIDS = ('blink', 'eyeclose', 'eye_close')
_JAW = ('jawopen', 'jawdrop', 'jaw_open', 'jaw', 'mouthopen')
_UNNAMED = ('residual', )


@dataclass(frozen=True)
class PerformanceConfig:
    """Ranges of the motions.

    Attributes:
        pose_limits: Largest yaw, pitch and roll in degrees.
        pose_scale: Factor on them.
        shape_scale: Standard deviation of the identity coefficients.
        tex_scale: Standard deviation of the albedo coefficients; at 1, few
            of the people a linear albedo model gives look healthy.
        expression_noise: Standard deviation of the generic motion of the
            first expression coefficients; later ones move less.
        expression_strength: Coefficient of a named expression at full
            activation (2 in the built-in head).
        blink_strength: Coefficient of closed eyelids.
        expressions_per_clip: Mean number of named expressions in a clip.
        jaw_open: Jaw angle of the widest speech, radians.
        talking: Probability that the person talks.
        blink_rate: Blinks per second.
        tired: How far the eyelids of the most tired people hang, 0..1.
        turn_rate: Quick turns of the head per second.
        gaze: Largest angle of the eyes in degrees; 0 fixes them.
        light_contrast: 0 is ambient light alone.
        fps: Frames per second.
    """

    pose_limits: tuple[float, float, float] = (40., 20., 15.)
    pose_scale: float = 1.
    shape_scale: float = 1.
    tex_scale: float = .6
    expression_noise: float = .35
    expression_strength: float = 2.
    blink_strength: float = 2.
    expressions_per_clip: float = 2.5
    jaw_open: float = .24
    talking: float = .7
    blink_rate: float = .35
    tired: float = .15
    turn_rate: float = 0.
    gaze: float = 15.
    light_contrast: float = 1.
    fps: float = FPS


PERFORMANCES: dict[str, PerformanceConfig] = {
    # People in a conversation.
    'talking': PerformanceConfig(),
    # People who use their faces: for training. Most coefficients of the
    # others rest near zero, where the mean of all answers is no motion.
    'lively': PerformanceConfig(
        pose_limits=(65., 35., 20.), expressions_per_clip=5., jaw_open=.45,
        talking=.8, blink_rate=1.2, tired=.6, turn_rate=.8),
}
"""Ranges by name."""


@dataclass(frozen=True)
class Identity:
    """A person.

    Attributes:
        name: Unique over the splits.
        shape: (C,) identity coefficients.
        tex: (C,) albedo coefficients.
        style: (16,) uniform numbers in 0..1 for hair and the like.
    """

    name: str
    shape: np.ndarray
    tex: np.ndarray
    style: np.ndarray


@dataclass(frozen=True)
class Performance:
    """Codes of a clip, float64; the camera follows from the landmarks.

    Attributes:
        exp: (t, C) expression coefficients.
        pose: (t, 6) global and jaw axis-angle, radians.
        light: (t, 9, 3) spherical harmonics.
        eyes: (t, 6) axis-angle of both eyes, radians. No code holds it: it
            is in the images only.
    """

    exp: np.ndarray
    pose: np.ndarray
    light: np.ndarray
    eyes: np.ndarray


@dataclass(frozen=True)
class ExpressionPlan:
    """What the coefficients of a head model mean.

    Attributes:
        eyelids: Coefficients that close the eyelids.
        jaw: Coefficients that open the jaw (the jaw joint does that here).
        groups: Coefficients that act together (left and right).
    """

    eyelids: tuple[int, ...] = ()
    jaw: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = field(default=())


def split_generator(rng: np.random.Generator,
                    count: int) -> list[np.random.Generator]:
    """Independent generators seeded by one."""
    return [np.random.default_rng(seed)
            for seed in rng.integers(0, 2**32, (count, 4)).tolist()]


def plan_expressions(names: Sequence[str], num: int) -> ExpressionPlan:
    """Find eyelids, jaw and pairs in the names of expression coefficients.

    Args:
        names: Of the first coefficients; '' or 'residual...' for those
            without a meaning.
        num: Coefficients in use; names beyond are ignored.
    """
    eyelids, jaw, groups = [], [], {}
    for index, name in enumerate(names[:num]):
        key = name.lower()
        if not key or key.startswith(_UNNAMED):
            continue
        if any(word in key for word in _EYELIDS):
            eyelids.append(index)
        elif key in _JAW:
            jaw.append(index)
        else:
            for side in _SIDES:
                if key.endswith(side) and len(key) > len(side):
                    key = key[:-len(side)]
                    break
            groups.setdefault(key, []).append(index)
    return ExpressionPlan(tuple(eyelids), tuple(jaw),
                          tuple(tuple(group) for group in groups.values()))


def draw_identity(split: str, number: int, num_shape: int, num_tex: int,
                  config: PerformanceConfig = PerformanceConfig()
                  ) -> Identity:
    """The person with a number in a split.

    The split is part of the seed, so that no person is in two splits,
    whatever their number.

    Args:
        split: One of :data:`SPLITS`.
        number: 0, 1, ...
        num_shape: Identity coefficients.
        num_tex: Albedo coefficients.
        config: Standard deviations.

    Raises:
        ValueError: If the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, but it is "
                         f"'{split}'.")
    rng = np.random.default_rng([68, SPLITS.index(split), number])
    # Long vectors are drawn, then cut: using more coefficients adds detail
    # to a person instead of making another one.
    shape, tex = rng.standard_normal((2, 300))
    style = rng.random(16)
    return Identity(f'{split}_{number:05d}',
                    config.shape_scale * shape[:num_shape],
                    config.tex_scale * tex[:num_tex], style)


def draw_expression(rng: np.random.Generator, num_frames: int, num: int,
                    plan: ExpressionPlan, config: PerformanceConfig,
                    opening: np.ndarray) -> np.ndarray:
    """Expression coefficients of a clip.

    Args:
        rng: Generator.
        num_frames: t.
        num: Coefficients C.
        plan: Their meaning.
        config: Ranges.
        opening: (t,) of the mouth in speech, 0..1.

    Returns:
        (t, C).
    """
    fps = config.fps
    order = np.arange(num)
    fade = config.expression_noise / np.sqrt(1 + order / 10.)
    level = .7 * rng.standard_normal(num)
    codes = fade * (level + .7 * smooth_noise(rng, num_frames, num, 1., fps))
    named = [index for group in plan.groups for index in group]
    for index in (*plan.eyelids, *plan.jaw, *named):
        codes[:, index] = 0
    count = min(len(plan.groups), rng.poisson(config.expressions_per_clip))
    chosen = rng.permutation(len(plan.groups))[:count]
    for group in chosen.tolist():
        strength = config.expression_strength * rng.uniform(.25, 1.)
        # Rarely an expression is of one side only; never are both sides
        # exactly alike.
        balance = rng.uniform(.75, 1., len(plan.groups[group]))
        if len(balance) > 1 and rng.random() < .15:
            balance[rng.integers(len(balance))] *= .2
        wave = activation(rng, num_frames, strength, .8, fps)
        for index, share in zip(plan.groups[group], balance, strict=True):
            codes[:, index] += share * wave
    # Lips take part in speech beyond the jaw: a little of some groups.
    for group in rng.permutation(len(plan.groups))[:2].tolist():
        wave = smooth_noise(rng, num_frames, 1, 3.5, fps)[:, 0]
        for index in plan.groups[group]:
            codes[:, index] += .15 * config.expression_strength * (
                opening * np.maximum(wave, 0))
    closure = blinks(rng, num_frames, config.blink_rate, fps)
    tired = config.tired * rng.random()
    for index in plan.eyelids:
        codes[:, index] = config.blink_strength * (
            closure + (1 - closure) * tired)
    return codes


def draw_performance(rng: np.random.Generator, num_frames: int,
                     num_expression: int, plan: ExpressionPlan,
                     config: PerformanceConfig = PerformanceConfig()
                     ) -> Performance:
    """Motions and light of a clip.

    Args:
        rng: Generator of the clip.
        num_frames: t.
        num_expression: Expression coefficients.
        plan: Their meaning.
        config: Ranges.
    """
    # One generator per aspect: changing the ranges of one leaves the others
    # as they are.
    rng_pose, rng_jaw, rng_exp, rng_light, rng_eyes = split_generator(
        rng, 5)
    fps = config.fps
    pose = np.zeros((num_frames, 6))
    head = head_motion(rng_pose, num_frames, config.pose_limits,
                       config.pose_scale, fps, config.turn_rate)
    pose[:, :3] = euler_to_axis_angle(head)
    opening = speech(rng_jaw, num_frames, fps, config.talking)
    pose[:, 3] = config.jaw_open * opening
    pose[:, 4:] = .012 * smooth_noise(rng_jaw, num_frames, 2, 2., fps)
    looking = gaze(rng_eyes, head, math.radians(config.gaze), fps)
    eye = euler_to_axis_angle(np.pad(looking, ((0, 0), (0, 1))))
    return Performance(
        draw_expression(rng_exp, num_frames, num_expression, plan, config,
                        opening), pose,
        draw_light(rng_light, num_frames, config.light_contrast, fps),
        np.tile(eye, 2))
