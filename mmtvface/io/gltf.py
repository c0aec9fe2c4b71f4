# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writing binary glTF 2.0 (Khronos Group, 2021), the container only.

What a file holds is a plain dict of the specification's JSON; this packs
arrays and images into its binary chunk. The well-kept libraries read files
of this kind (trimesh) but write neither skins nor animations, or bring five
packages along for the same few lines.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.utils.atomic import atomic_path

_COMPONENTS = {np.dtype(np.float32): 5126, np.dtype(np.uint32): 5125,
               np.dtype(np.uint16): 5123, np.dtype(np.uint8): 5121}
_TYPES = {(): 'SCALAR', (2, ): 'VEC2', (3, ): 'VEC3', (4, ): 'VEC4',
          (4, 4): 'MAT4'}
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


class BinaryChunk:
    """Collects arrays and images and says where they are.

    Attributes:
        views: ``bufferViews`` of the document.
        accessors: ``accessors`` of the document.
    """

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._length = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes, aligned to four; return the view's index."""
        view = dict(buffer=0, byteOffset=self._length, byteLength=len(data))
        if target is not None:
            view['target'] = target
        self.views.append(view)
        data += bytes(-len(data) % 4)
        self._parts.append(data)
        self._length += len(data)
        return len(self.views) - 1

    def array(self, values: np.ndarray, target: int | None = None,
              bounds: bool = False) -> int:
        """Append an array; return the accessor's index.

        Args:
            values: (N, ...) float32, uint32, uint16 or uint8; elements are
                scalars, vectors of 2 to 4, or 4x4 matrices (transposed here
                to the columns that glTF stores).
            target: :data:`ARRAY_BUFFER` for vertex attributes,
                :data:`ELEMENT_ARRAY_BUFFER` for indices.
            bounds: Also give least and greatest element, which positions and
                times must have.

        Raises:
            ValueError: If type or shape cannot be stored, or numbers are not
                finite.
        """
        kind = _TYPES.get(values.shape[1:]) if values.ndim else None
        if kind is None or values.dtype not in _COMPONENTS:
            raise ValueError(f'glTF has no accessor for {values.dtype} of '
                             f'shape {values.shape}.')
        if values.dtype.kind == 'f' and not np.isfinite(values).all():
            raise ValueError('glTF cannot store numbers that are not finite.')
        accessor = dict(
            componentType=_COMPONENTS[values.dtype], count=len(values),
            type=kind)
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor.update(min=rows.min(0).tolist(), max=rows.max(0).tolist())
        stored = values.swapaxes(1, 2) if kind == 'MAT4' else values
        accessor['bufferView'] = self.view(
            np.ascontiguousarray(stored).tobytes(), target)
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def write(self, path: str | os.PathLike,
              document: dict[str, Any]) -> None:
        """Write a ``.glb`` file; it appears when it is complete.

        Args:
            path: The file; its folder must exist.
            document: The JSON without ``buffers``, ``bufferViews`` and
                ``accessors``.
        """
        document = dict(
            document, buffers=[dict(byteLength=self._length)],
            bufferViews=self.views, accessors=self.accessors)
        text = json.dumps(document, separators=(',', ':')).encode()
        text += b' ' * (-len(text) % 4)
        with atomic_path(Path(path)) as part, open(part, 'wb') as file:
            file.write(struct.pack('<3I', _MAGIC, 2,
                                   12 + 8 + len(text) + 8 + self._length))
            file.write(struct.pack('<2I', len(text), _JSON) + text)
            file.write(struct.pack('<2I', self._length, _BIN))
            file.writelines(self._parts)
