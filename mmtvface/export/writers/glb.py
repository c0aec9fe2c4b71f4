# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animated heads for game engines, Blender and browsers, as glTF files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmtvface.io.column_store import ColumnStore
from mmtvface.io.gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, BinaryChunk
from mmtvface.version import __version__

from ..writer import Kind, Target, TrackWriter, register

if TYPE_CHECKING:
    from ..head_rig import HeadRig
    from ..painted_frame import PaintedFrame

#: Joints of a rig in their order.
JOINTS = ('root', 'neck', 'jaw', 'left_eye', 'right_eye')
_MOVING = ('shape', 'exp', 'pose', 'neck_pose', 'eye_pose')
#: A texture is made anew only for a clearly more frontal view: each takes as
#: long as a frame.
_MORE_FRONTAL = .7
#: Skinning weights beyond the fourth that are left out: with joints a few
#: centimetres away they move a vertex by some micrometres.
_TINY_WEIGHT = 1e-4
_CLAMP, _LINEAR, _MIPMAPS = 33071, 9729, 9987


class UVMap(NamedTuple):
    """Faces, UV coordinates and images of a mesh.

    Attributes:
        faces: (F, 3).
        uv_coords: (Vt, 2) v upwards, or None.
        uv_faces: (F, 3), or None.
        texture: (S, S, 3) uint8 RGB, row 0 is v = 1, or None.
        normal_map: The same of tangent-space normals, or None.
    """

    faces: np.ndarray
    uv_coords: np.ndarray | None = None
    uv_faces: np.ndarray | None = None
    texture: np.ndarray | None = None
    normal_map: np.ndarray | None = None


def split_at_seams(uv_map: UVMap) -> tuple[np.ndarray, np.ndarray,
                                          np.ndarray | None]:
    """Vertices of a mesh that has one index per corner.

    Returns:
        (N,) which vertex of the head each is, (F, 3) faces, and (N, 2) UV
        coordinates, v *downwards* as in glTF, or None.
    """
    if uv_map.uv_coords is None:
        return np.arange(uv_map.faces.max() + 1), uv_map.faces, None
    count = len(uv_map.uv_coords)
    pairs, index = np.unique(
        (uv_map.faces * count + uv_map.uv_faces).ravel(), return_inverse=True)
    source, uv = np.divmod(pairs, count)
    flipped = uv_map.uv_coords[uv] * [1, -1] + [0, 1]
    return source, index.reshape(-1, 3), flipped


def joint_influences(weights: np.ndarray) -> list[
        tuple[np.ndarray, np.ndarray]]:
    """Skinning weights in groups of four, the largest first.

    Args:
        weights: (V, J), sum 1.

    Returns:
        One or more groups of (V, 4) uint8 joints and (V, 4) float32 weights,
        sum 1 over all groups. A second group, which some programs ignore, is
        made only where the weights it holds matter.
    """
    order = np.argsort(-weights, 1, kind='stable')
    sorted_weights = np.take_along_axis(weights, order, 1)
    number = 4
    if sorted_weights[:, 4:].max(initial=0) > _TINY_WEIGHT:
        number = -(-weights.shape[1] // 4) * 4
    padding = max(0, number - weights.shape[1])
    values = np.pad(sorted_weights, ((0, 0), (0, padding)))[:, :number]
    values = values / values.sum(1, keepdims=True)
    joints = np.pad(order, ((0, 0), (0, padding)))[:, :number]
    joints = np.where(values > 0, joints, 0)  # as the specification asks
    return [(joints[:, i:i + 4].astype(np.uint8),
             values[:, i:i + 4].astype(np.float32))
            for i in range(0, number, 4)]


def key_times(frames: np.ndarray, seconds: np.ndarray, before: np.ndarray
              ) -> tuple[np.ndarray, np.ndarray]:
    """Keyframes of a track; over gaps the last pose is held.

    Without a key at the end of a gap, programs would blend slowly from the
    pose before it to that after it: a motion that nobody has seen.

    Args:
        frames: (T,) indices of the frames that have a result, increasing.
        seconds: (T,) their times from the start of the input.
        before: (T,) the times of the frames before them.

    Returns:
        (K,) float32 seconds, increasing, and (K,) which of the T frames each
        shows.
    """
    gaps = np.flatnonzero(np.diff(frames) > 1)
    numbers = np.concatenate([frames, frames[gaps + 1] - 1])
    times = np.concatenate([seconds, before[gaps + 1]])
    shown = np.concatenate([np.arange(len(frames)), gaps])
    order = np.argsort(numbers, kind='stable')
    times = times[order].astype(np.float32)
    # Of frames at the same time the first is shown.
    latest = np.maximum.accumulate(np.concatenate([[-1], times[:-1]]))
    later = times > latest
    return times[later], shown[order][later]


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """(T, 3, 3) to (T, 4) x, y, z, w, each near the one before it."""
    from scipy.spatial.transform import Rotation
    values = Rotation.from_matrix(rotations).as_quat()
    turns = (values[1:] * values[:-1]).sum(-1) < 0
    values[1:][np.cumsum(turns) % 2 == 1] *= -1
    return values


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, as the format demands; any where there is none."""
    import torch

    from mmtvface.geometry.mesh import vertex_normals

    # In mm: in metres the smallest faces are below the floor of the division.
    normals = vertex_normals(torch.from_numpy(1e3 * vertices[None]).double(),
                             torch.from_numpy(faces))[0].numpy()
    normals[np.linalg.norm(normals, axis=1) < .5] = (0, 0, 1)
    return normals


def _mesh(chunk: BinaryChunk, rig: 'HeadRig', uv_map: UVMap) -> dict[str, Any]:
    """The mesh with its targets; normals follow them to first order."""
    source, faces, uv = split_at_seams(uv_map)

    def attribute(values: np.ndarray, bounds: bool = False) -> int:
        return chunk.array(values[source].astype(np.float32), ARRAY_BUFFER,
                           bounds)

    normals = _normals(rig.vertices, uv_map.faces)
    attributes = dict(POSITION=attribute(rig.vertices, True),
                      NORMAL=attribute(normals))
    if uv is not None:
        attributes['TEXCOORD_0'] = chunk.array(
            uv.astype(np.float32), ARRAY_BUFFER)
    for number, (joints, weights) in enumerate(
            joint_influences(rig.skin_weights)):
        attributes[f'JOINTS_{number}'] = chunk.array(
            joints[source], ARRAY_BUFFER)
        attributes[f'WEIGHTS_{number}'] = chunk.array(
            weights[source], ARRAY_BUFFER)
    targets = [dict(
        POSITION=attribute(target, True),
        NORMAL=attribute(
            _normals(rig.vertices + target, uv_map.faces) - normals))
        for target in (*rig.expression, *rig.correctives)]
    names = [f'expression_{i:03d}' for i in range(len(rig.expression))]
    names += [f'corrective_{i:03d}' for i in range(len(rig.correctives))]
    wide = np.uint16 if len(source) < 65535 else np.uint32
    primitive = dict(attributes=attributes, material=0, indices=chunk.array(
        faces.ravel().astype(wide), ELEMENT_ARRAY_BUFFER))
    mesh = dict(name='head', primitives=[primitive])
    if targets:
        primitive['targets'] = targets
        mesh.update(weights=[0.] * len(targets),
                    extras=dict(targetNames=names))
    return mesh


def _material(chunk: BinaryChunk, uv_map: UVMap) -> dict[str, Any]:
    """Entries of the document for the material and its images."""
    import cv2
    surface: dict[str, Any] = dict(metallicFactor=0., roughnessFactor=.7)
    material: dict[str, Any] = dict(
        name='skin', pbrMetallicRoughness=surface, doubleSided=True)
    images = []
    for name, pixels in (('texture', uv_map.texture),
                         ('normal_map', uv_map.normal_map)):
        if pixels is None:
            continue
        png = cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()
        images.append(dict(name=name, mimeType='image/png',
                           bufferView=chunk.view(png)))
        owner, key = ((surface, 'baseColorTexture') if name == 'texture'
                      else (material, 'normalTexture'))
        owner[key] = dict(index=len(images) - 1)
    if uv_map.texture is None:
        surface['baseColorFactor'] = [.7, .7, .7, 1.]
    found = dict(materials=[material])
    if images:
        found.update(
            images=images, samplers=[dict(
                magFilter=_LINEAR, minFilter=_MIPMAPS, wrapS=_CLAMP,
                wrapT=_CLAMP)],
            textures=[dict(source=i, sampler=0) for i in range(len(images))])
    return found


def _skeleton(chunk: BinaryChunk, rig: 'HeadRig'
              ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Nodes 1.. of the joints at rest, and the skin."""
    nodes = []
    for joint, parent in enumerate(rig.parents):
        offset = rig.joints[joint] - (
            rig.joints[parent] if parent >= 0 else 0)
        node = dict(name=JOINTS[joint], translation=offset.tolist())
        if children := [1 + i for i, above in enumerate(rig.parents)
                        if above == joint]:
            node['children'] = children
        nodes.append(node)
    bind = np.tile(np.eye(4, dtype=np.float32), (len(nodes), 1, 1))
    bind[:, :3, 3] = -rig.joints
    return nodes, dict(
        name='head', joints=list(range(1, 1 + len(nodes))), skeleton=1,
        inverseBindMatrices=chunk.array(bind))


def _animation(chunk: BinaryChunk, rig: 'HeadRig', times: np.ndarray,
               shown: np.ndarray) -> dict[str, Any]:
    """Keyframes of joints and weights, linear between them."""
    clock = chunk.array(times, bounds=True)
    samplers, channels = [], []

    def add(node: int, path: str, keys: np.ndarray) -> None:
        channels.append(dict(sampler=len(samplers),
                             target=dict(node=node, path=path)))
        samplers.append(dict(
            input=clock, interpolation='LINEAR',
            output=chunk.array(keys.astype(np.float32))))

    for joint in range(len(rig.joints)):
        add(1 + joint, 'rotation',
            quaternions(rig.rotations[shown, joint]))
        add(1 + joint, 'translation', rig.translations[shown, joint])
    if rig.target_weights.shape[1]:
        add(0, 'weights', rig.target_weights[shown].ravel())
    return dict(name='track', samplers=samplers, channels=channels)


def rig_document(chunk: BinaryChunk, rig: 'HeadRig', uv_map: UVMap,
                 frames: np.ndarray, fps: float, seconds: np.ndarray,
                 before: np.ndarray) -> dict[str, Any]:
    """The glTF document of an animated head.

    Args:
        chunk: Takes the arrays and images.
        rig: The head with its keyframes.
        uv_map: Faces, UV coordinates and images.
        frames: (T,) indices of the frames of the keyframes, increasing.
        fps: Frames per second, noted in the file.
        seconds: (T,) times of these frames.
        before: (T,) times of the frames before them.

    Returns:
        What :meth:`BinaryChunk.write` writes. Its ``asset.extras`` hold
        ``fps``, ``first_frame``, ``last_frame``, ``frames`` (with a face),
        ``correctives`` (how many targets) and ``corrective_error_m``.
    """
    joints, skin = _skeleton(chunk, rig)
    head = dict(name='head', mesh=0, skin=0)
    extras = dict(
        fps=float(fps), first_frame=int(frames[0]),
        last_frame=int(frames[-1]), frames=len(frames),
        correctives=len(rig.correctives), corrective_error_m=rig.error)
    return dict(
        asset=dict(version='2.0', generator=f'mmtvface {__version__}',
                   extras=extras),
        scene=0, scenes=[dict(nodes=[0, 1])], nodes=[head, *joints],
        meshes=[_mesh(chunk, rig, uv_map)], skins=[skin],
        animations=[_animation(chunk, rig, *key_times(
            frames, seconds, before))],
        **_material(chunk, uv_map))


@register('glb', 'glb/track<id>.glb',
          'each face as one animated glTF head: morph targets, joints, '
          'texture', requires=['flame'], requires_image='texture')
class GlbWriter(TrackWriter):
    """``glb/track<id>.glb``: one animated head per face, glTF 2.0.

    The rig is that of :mod:`~mmtvface.export.head_rig`: the mean identity at
    rest, morph targets for expressions and pose correctives, a skin of five
    joints. It is in model space (metres, +y up, +z out of the face) and turns
    about its own joints; where the head is in the picture is in ``codes`` and
    ``flame_npz``. Keyframes are at the times of the frames from the start of
    the input, frame / fps where these come evenly; while there is no face,
    the last pose is held. Texture and normal map, where the model has them,
    are those of the most frontal view; they wait on the disk as well, some
    hundred kilobytes to megabytes per track.
    """

    suffix = '.glb'

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self._painter = target.painter
        self._images = ColumnStore(self.path)
        # Of each track: the angle of its most frontal view, and its row.
        self._views: dict[int, tuple[float, int]] = {}

    def frame_entries(self, frame: 'PaintedFrame') -> dict[str, Any]:
        """Take the images of the most frontal view so far."""
        from mmtvface.visualization.overlay import to_pixels
        if not (frame.drawable and self._painter.has_uv_map):
            return {}
        track = frame.result.track_id
        angle = float(np.linalg.norm(frame.result.codes['pose'][:3]))
        best, row = self._views.get(track, (np.inf, -1))
        if angle > _MORE_FRONTAL * best:
            return {}
        images = dict(
            texture=to_pixels(frame.texture[0]),
            normal_map=self._painter.normal_map(frame.face))
        if row < 0:
            row = self._images.append(images)
        else:
            for name, pixels in images.items():
                if pixels is not None:
                    self._images.replace(row, name, pixels)
        self._views[track] = angle, row
        return {}

    def _uv_map(self, track: int) -> UVMap:
        renderer = self._painter.renderer
        faces = renderer.faces.cpu().numpy()
        if not self._painter.has_uv_map:
            return UVMap(faces)
        images = {}
        if track in self._views:
            row = self._views[track][1]
            images = {name: pixels[0] for name, pixels in
                      self._images.gather(np.array([row])).items()}
        return UVMap(faces, renderer.uv_coords.cpu().numpy(),
                     renderer.uv_faces.cpu().numpy(), **images)

    def write(self, path: Path, track: int,
              arrays: Mapping[str, np.ndarray]) -> None:
        """Write the animation of one track."""
        from ..head_rig import build_rig
        rig = build_rig(self._painter.flame, {
            name: arrays[name] for name in _MOVING if name in arrays})
        chunk = BinaryChunk()
        chunk.write(path, rig_document(
            chunk, rig, self._uv_map(track), arrays['frame_index'],
            self.target.fps, arrays['time'], arrays['time_before']))

    def finish(self) -> bool:
        """Write a file for each track."""
        with self._images:
            return super().finish()
