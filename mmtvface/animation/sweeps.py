# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smooth motions that show a head: turns and expressions over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .transfer import head_rotation

#: Shown by default on heads whose components have names.
DEFAULT_NAMED = ('smile', 'browInnerUp+browOuterUp', 'noseSneer+browDown',
                 'pucker')
#: How many principal components are shown by default on other heads.
DEFAULT_COMPONENTS = 4
#: Coefficient at the peak of an expression: a strong one, two sigma.
STRENGTH = 2.
#: Jaw angle of a wide open mouth, radians.
JAW_OPEN = .35
_SIDES = ('_L', '_R')


def ease(share: np.ndarray) -> np.ndarray:
    """Go from 0 to 1 with rest at both ends: 3 s^2 - 2 s^3.

    Args:
        share: Time in [0, 1].
    """
    share = np.clip(share, 0., 1.)
    return share * share * (3 - 2 * share)


def swing(share: np.ndarray) -> np.ndarray:
    """Go 0, 1, 0, -1, 0 within [0, 1], starting and ending at rest.

    It is 1 at about 0.33 and -1 at about 0.67.
    """
    return np.sin(2 * math.pi * ease(share))


def bump(share: np.ndarray) -> np.ndarray:
    """Go 0, 1, 0 within [0, 1], at rest at both ends and at the top."""
    return np.sin(math.pi * np.clip(share, 0., 1.))**2


def sweep_rotation(num_frames: int, yaw: float = 60., pitch: float = 0.
                   ) -> np.ndarray:
    """Turn a head from the front to its left, to its right, and back.

    Args:
        num_frames: T > 0; the first and, if there are several, the last
            look straight ahead.
        yaw: Largest angle to each side, degrees.
        pitch: Largest nod, degrees: it nods twice on the way, first down
            and up, so that the head is also seen from above and below.

    Returns:
        (T, 3) axis-angle of the whole head, radians.

    Raises:
        ValueError: If there is no frame or an angle is not in [0, 180).
    """
    if num_frames < 1:
        raise ValueError(f'A sweep needs a frame, but there are {num_frames}.')
    for name, value in (('yaw', yaw), ('pitch', pitch)):
        if not 0 <= value < 180:
            raise ValueError(f'{name} must lie in [0, 180) degrees, but it '
                             f'is {value}.')
    share = np.linspace(0, 1, num_frames)
    angles = np.zeros((num_frames, 3))
    angles[:, 0] = yaw * swing(share)
    angles[:, 1] = pitch * np.sin(4 * math.pi * ease(share))
    return head_rotation(angles)


@dataclass(frozen=True)
class Move:
    """One part of an expression sweep.

    Attributes:
        label: For captions.
        components: Expression components that move together.
        jaw: Angle of the jaw at the peak, radians.
        both_ways: Also show the negative expression.
    """

    label: str
    components: tuple[int, ...] = ()
    jaw: float = 0.
    both_ways: bool = False


def find_components(name: str, names: Sequence[str],
                    num_expression: int) -> tuple[int, ...]:
    """Components of an expression by its name or number.

    Args:
        name: A name, a name without ``_L`` and ``_R`` for both sides, a
            number from 0, or several of these joined by '+'.
        names: Of the components, empty if they have none.
        num_expression: How many components the model has.

    Raises:
        ValueError: If there is no such component.
    """
    found: list[int] = []
    for part in name.split('+'):
        if part.isdecimal():
            picked = [int(part)]
        else:
            wanted = {part.lower(), *(part.lower() + side.lower()
                                      for side in _SIDES)}
            picked = [index for index, known in enumerate(names)
                      if known.lower() in wanted]
        picked = [index for index in picked if index < num_expression]
        if not picked:
            known = sorted({value.removesuffix('_L').removesuffix('_R')
                            for value in names[:num_expression]})
            raise ValueError(
                f"There is no expression '{part}'; there are the numbers "
                f'0 .. {num_expression - 1}' + (
                    f' and {", ".join(known)}.' if known else
                    ' (only the built-in head has names).'))
        found += picked
    return tuple(found)


def plan_moves(expressions: Sequence[str] | None, names: Sequence[str],
               num_expression: int, jaw: float = JAW_OPEN) -> list[Move]:
    """Parts of an expression sweep.

    Args:
        expressions: What to show, see :func:`find_components`; 'jaw' opens
            the mouth. None: four typical expressions of a head with names,
            the first four components of another one, and the jaw.
        names: Of the components, empty if they have none.
        num_expression: How many components the model has.
        jaw: Angle of the open mouth, radians.

    Raises:
        ValueError: If there is no such component.
    """
    if expressions is None:
        count = min(DEFAULT_COMPONENTS, num_expression)
        expressions = (*(DEFAULT_NAMED if names else map(str, range(count))),
                       'jaw')
    moves = []
    for name in expressions:
        if name.lower() == 'jaw':
            moves.append(Move('jaw', jaw=jaw))
            continue
        label = f'expression {name}' if name.isdecimal() else name
        # Named ones are motions of muscles, which have one direction.
        moves.append(Move(label, find_components(
            name, names, num_expression), both_ways=not names))
    return moves


@dataclass(frozen=True)
class ExpressionSweep:
    """Expressions over time.

    Attributes:
        exp: (T, C) coefficients.
        jaw: (T, 3) axis-angle, radians.
        peaks: Label of a move -> frames of its extremes (one or two).
    """

    exp: np.ndarray
    jaw: np.ndarray
    peaks: dict[str, list[int]]


def sweep_expression(num_frames: int, moves: Sequence[Move],
                     exp: np.ndarray, jaw: np.ndarray,
                     strength: float = STRENGTH) -> ExpressionSweep:
    """From an expression to neutral, through all moves, and back to it.

    The ways from and to the first expression take half of the time of a
    move. All parts begin and end at rest.

    Args:
        num_frames: T; at least one frame per part should be there.
        moves: What is shown.
        exp: (C,) the expression at the first and the last frame.
        jaw: (3,) the jaw there.
        strength: Coefficient at the peak of a move.

    Raises:
        ValueError: If there is no frame.
    """
    if num_frames < 1:
        raise ValueError(f'A sweep needs a frame, but there are {num_frames}.')
    time = np.linspace(0, len(moves) + 1., num_frames)
    own = (1 - ease(2 * time)) + ease(2 * time - 2 * len(moves) - 1)
    exps = own[:, None] * np.asarray(exp, np.float64)
    jaws = own[:, None] * np.asarray(jaw, np.float64)
    peaks = {}
    for number, move in enumerate(moves):
        share = time - .5 - number
        wave = (swing if move.both_ways else bump)(share)
        for index in move.components:
            exps[:, index] += strength * wave
        jaws[:, 0] += move.jaw * bump(share)
        tops = [int(wave.argmax())]
        peaks[move.label] = tops + [int(wave.argmin())] * move.both_ways
    return ExpressionSweep(exps, jaws, peaks)
