# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Plays glTF files by the rules of the specification, in plain NumPy.

Written from the specification, without a look at the writer: the bytes of the
file are all that it knows.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_SIZES = dict(SCALAR=1, VEC2=2, VEC3=3, VEC4=4, MAT4=16)


class GltfPlayer:
    """One skinned, morphed mesh with one animation.

    Args:
        path: A ``.glb`` file.

    Attributes:
        document: Its JSON.
        primitive: Of its mesh.

    Raises:
        ValueError: If it is no binary glTF 2.0.
    """

    def __init__(self, path: str | Path) -> None:
        data = Path(path).read_bytes()
        magic, version, length = struct.unpack_from('<4s2I', data)
        if (magic, version, length) != (b'glTF', 2, len(data)):
            raise ValueError(f'{path} is no whole binary glTF 2.0.')
        size, kind = struct.unpack_from('<I4s', data, 12)
        if kind != b'JSON' or size % 4:
            raise ValueError(f'{path}: its first chunk is no JSON.')
        self.document: dict[str, Any] = json.loads(data[20:20 + size])
        size2, kind = struct.unpack_from('<I4s', data, 20 + size)
        if kind != b'BIN\0' or size2 % 4:
            raise ValueError(f'{path}: its second chunk is not binary.')
        self._binary = data[28 + size:28 + size + size2]
        self.primitive = self.document['meshes'][0]['primitives'][0]

    def view(self, index: int) -> bytes:
        """Bytes of a buffer view."""
        view = self.document['bufferViews'][index]
        start = view['byteOffset']
        return self._binary[start:start + view['byteLength']]

    def array(self, index: int) -> np.ndarray:
        """Values of an accessor, (N, ...)."""
        accessor = self.document['accessors'][index]
        width = _SIZES[accessor['type']]
        values = np.frombuffer(self.view(accessor['bufferView']),
                               _TYPES[accessor['componentType']],
                               accessor['count'] * width)
        if width == 16:
            return values.reshape(-1, 4, 4).swapaxes(1, 2)
        return values.reshape(-1, width) if width > 1 else values

    def attribute(self, name: str) -> np.ndarray:
        """A vertex attribute of the mesh."""
        return self.array(self.primitive['attributes'][name])

    def _sampled(self, time: float) -> dict[tuple[int, str], np.ndarray]:
        """Value of every animated property at a time."""
        animation = self.document['animations'][0]
        found = {}
        for channel in animation['channels']:
            sampler = animation['samplers'][channel['sampler']]
            times = self.array(sampler['input']).astype(np.float64)
            values = self.array(sampler['output']).astype(np.float64)
            values = values.reshape(len(times), -1)
            node, path = channel['target']['node'], channel['target']['path']
            at = np.clip(time, times[0], times[-1])
            if path == 'rotation' and len(times) > 1:
                value = Slerp(times, Rotation.from_quat(values))(at).as_quat()
            else:
                value = np.array([np.interp(at, times, column)
                                  for column in values.T])
            found[node, path] = value
        return found

    def _world(self, poses: dict[tuple[int, str], np.ndarray]
               ) -> dict[int, np.ndarray]:
        """(4, 4) of every node."""
        nodes = self.document['nodes']
        world: dict[int, np.ndarray] = {}

        def visit(index: int, above: np.ndarray) -> None:
            node, local = nodes[index], np.eye(4)
            turn = poses.get((index, 'rotation'),
                             node.get('rotation', [0, 0, 0, 1]))
            local[:3, :3] = Rotation.from_quat(turn).as_matrix()
            local[:3, 3] = poses.get((index, 'translation'),
                                     node.get('translation', [0, 0, 0]))
            world[index] = above @ local
            for child in node.get('children', []):
                visit(child, world[index])

        for root in self.document['scenes'][0]['nodes']:
            visit(root, np.eye(4))
        return world

    def vertices(self, time: float | None = None) -> np.ndarray:
        """(N, 3) float64 vertices at a time; None: at rest."""
        poses = {} if time is None else self._sampled(time)
        mesh, skin = self.document['meshes'][0], self.document['skins'][0]
        owner = next(i for i, node in enumerate(self.document['nodes'])
                     if 'mesh' in node)
        points = self.attribute('POSITION').astype(np.float64)
        targets = self.primitive.get('targets', [])
        weights = poses.get((owner, 'weights'), mesh.get('weights', []))
        for weight, target in zip(weights, targets, strict=True):
            points = points + weight * self.array(target['POSITION'])
        world = self._world(poses)
        bind = self.array(skin['inverseBindMatrices']).astype(np.float64)
        maps = np.stack([world[node] @ inverse for node, inverse in zip(
            skin['joints'], bind, strict=True)])
        whole = np.zeros((len(points), 4, 4))
        for group in range(8):
            if f'JOINTS_{group}' not in self.primitive['attributes']:
                break
            whole += np.einsum(
                'nk,nkij->nij', self.attribute(f'WEIGHTS_{group}'),
                maps[self.attribute(f'JOINTS_{group}')])
        return np.einsum('nij,nj->ni', whole[:, :3, :3],
                         points) + whole[:, :3, 3]
