# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where things are in the meshes of ICT-FaceKit Light."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Parts that every converted head has, and parts that it can have.
ALWAYS = ('face', 'head', 'eyeballs')
OPTIONAL = ('mouth_socket', 'eye_sockets', 'gums', 'teeth')

#: Motions that the jaw joint takes over.
JAW_OPEN, JAW_LEFT, JAW_RIGHT = 'jawOpen', 'jawLeft', 'jawRight'
#: What of the motions to the sides the jaw joint cannot express.
JAW_REST = 'jawSide_rest'
#: Motions whose names start so turn the eyeballs.
GAZE = 'eyelook'

#: Motions of the face in the order of their components: what matters most
#: stands first, since models use the first 50 components by default.
_ORDER = (
    'mouthSmile', 'eyeBlink', 'browInnerUp', 'browDown', 'browOuterUp',
    'eyeSquint', 'eyeWide', 'cheekRaiser', 'cheekSquint', 'cheekPuff',
    'noseSneer', 'jawForward', JAW_REST, 'mouthClose', 'mouthFrown',
    'mouthPucker', 'mouthFunnel', 'mouthStretch', 'mouthDimple',
    'mouthUpperUp', 'mouthLowerDown', 'mouthLeft', 'mouthRight', 'mouthPress',
    'mouthRollLower', 'mouthRollUpper', 'mouthShrugLower',
    'mouthShrugUpper')
#: Those that follow the eyes, after all others.
_LAST = ('eyeLookUp', 'eyeLookDown', 'eyeLookIn', 'eyeLookOut',
         'PupilDilate')


@dataclass(frozen=True)
class IctLayout:
    """Layout of the kit's meshes.

    Attributes:
        num_vertices: Of every mesh.
        parts: Name -> first vertex and one past the last.
        landmarks: Vertices of the 68 landmarks, iBUG order.
        num_identity: Number of the files ``identity000.obj`` ...
        metres: Length of the kit's unit.

    Raises:
        ValueError: If a part or a landmark lies outside of the mesh, or a
            part that every head has is missing.
    """

    num_vertices: int
    parts: Mapping[str, tuple[int, int]]
    landmarks: tuple[int, ...]
    num_identity: int = 100
    metres: float = .01

    def __post_init__(self) -> None:
        if missing := [name for name in ALWAYS if name not in self.parts]:
            raise ValueError(f'parts lacks {missing}.')
        for name, (start, stop) in self.parts.items():
            if not 0 <= start < stop <= self.num_vertices:
                raise ValueError(
                    f'The part {name}, vertices {start}..{stop - 1}, does '
                    f'not lie in 0..{self.num_vertices - 1}.')
        start, stop = self.parts['face']
        if len(self.landmarks) != 68 or not all(
                start <= index < stop for index in self.landmarks):
            raise ValueError(
                f'landmarks must be 68 vertices of the face, {start}..'
                f'{stop - 1}, but they are {self.landmarks}.')


ICT_LIGHT = IctLayout(
    num_vertices=26719,
    parts=MappingProxyType(dict(
        face=(0, 9409), head=(9409, 11248), mouth_socket=(11248, 13294),
        eye_sockets=(13294, 14062), gums=(14062, 17039),
        teeth=(17039, 21451), eyeballs=(21451, 24591))),
    landmarks=(
        1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927,
        3924, 2608, 3272, 4088, 3443, 268, 493, 1914, 2044, 1401, 3615, 4240,
        4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269,
        3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721,
        3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518,
        5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966))


def expression_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of expressions in the order of their components.

    Known motions first, then unknown ones by name, then those that follow
    the eyes; of each the one without a side, the left, the right.

    Args:
        names: File names without suffix, such as ``'mouthSmile_L'``.
    """
    first = {stem.lower(): rank for rank, stem in enumerate(_ORDER)}
    last = {stem.lower(): 1000 + rank for rank, stem in enumerate(_LAST)}

    def rank(name: str) -> tuple[int, str]:
        stem = name[:-2] if name[-2:] in ('_L', '_R') else name
        known = first.get(stem.lower(), last.get(stem.lower(), len(first)))
        return known, name

    return tuple(sorted(names, key=rank))
