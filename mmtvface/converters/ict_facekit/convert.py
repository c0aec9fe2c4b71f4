# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From the kit's meshes to a head in the layout of FLAME."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtvface.heads.flame_io import NUM_EXPRESSION, NUM_IDENTITY, HeadModelData
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.heads.landmark_embedding import LandmarkEmbedding
from mmtvface.heads.providers.flame import save_head_files
from mmtvface.heads.providers.procedural.rigging import JAW, PARENTS
from mmtvface.heads.providers.procedural.uv_layout import UVLayout
from mmtvface.utils.atomic import atomic_path

from .eyes import Sphere, fit_sphere, split_gaze
from .head_mesh import HeadMesh, select_head
from .jaw import JawRig, fit_hinge, fit_jaw
from .kit import IctKit
from .landmarks import embed_landmarks
from .layout import (
    GAZE,
    ICT_LIGHT,
    JAW_LEFT,
    JAW_OPEN,
    JAW_REST,
    JAW_RIGHT,
    IctLayout,
    expression_order,
)
from .maps import AlbedoMaps, head_topology, transfer_albedo
from .skeleton import EYES, joint_regressor, skinning_weights
from .smoothing import pieces
from .uv_map import Sheet, pack_uv_map

TEXTURES = ('full', 'mean', 'none')
INFO_FILE = 'ict_facekit.json'
INDEX_FILE = 'ict_vertices.npy'
LICENSE_FILE = 'ICT-FaceKit-LICENSE.txt'
#: Below this, metres, a component is rounding.
_NOTHING = 1e-7


@dataclass(frozen=True)
class IctHead:
    """A head converted from ICT-FaceKit Light.

    Attributes:
        model: In the layout of FLAME.
        landmarks: Its landmarks.
        topology: Its UV map and maps.
        mesh: What was taken of the kit.
        expression_names: Of the components in use, in order.
        jaw: The joint of the jaw.
        gaze: Expression -> eye -> (3,) axis-angle of the eye that, with the
            component, gives the kit's expression.
        eyes: Eye -> its ball.
        sheets: Where the kit's texture goes in the UV map.
        full_activation: Coefficient that gives the kit's full expression.
        license: Of the kit.
    """

    model: HeadModelData
    landmarks: LandmarkEmbedding
    topology: HeadTopology
    mesh: HeadMesh
    expression_names: tuple[str, ...]
    jaw: JawRig
    gaze: dict[str, dict[str, np.ndarray]]
    eyes: dict[str, Sphere]
    sheets: tuple[Sheet, ...]
    full_activation: float
    license: str | None

    def summary(self) -> dict[str, Any]:
        """What a user may want to know, in plain numbers."""
        millimetres = {name: 1000 * value
                       for name, value in self.jaw.left_over.items()}
        return dict(
            source='ICT-FaceKit Light',
            num_vertices=len(self.model.v_template),
            num_faces=len(self.model.faces),
            parts=sorted(self.mesh.parts),
            origin_in_kit=self.mesh.origin.tolist(),
            metres_per_unit=self.mesh.metres,
            joints=dict(zip(('root', 'neck', 'jaw', 'left_eye', 'right_eye'),
                            self.model.joints.tolist(), strict=True)),
            expression_names=list(self.expression_names),
            full_activation=self.full_activation,
            jaw_poses={
                JAW_OPEN: self.jaw.open_pose.tolist(),
                JAW_LEFT: self.jaw.left_pose.tolist(),
                JAW_RIGHT: (-self.jaw.left_pose).tolist()
            },
            jaw_joint_explains=dict(self.jaw.explained),
            jaw_joint_leaves_rms_mm=millimetres,
            jaw_joint_at_limit=self.jaw.hinge.at_limit,
            eye_poses={
                name: {eye: pose.tolist() for eye, pose in poses.items()}
                for name, poses in self.gaze.items()
            },
            uv_sheets=[asdict(sheet) for sheet in self.sheets])


def _expressions(kit: IctKit, mesh: HeadMesh, eyes: dict[str, Sphere],
                 rest: np.ndarray) -> tuple[dict[str, np.ndarray], dict]:
    """Offsets (V, 3) by name in order, and the poses of the eyes."""
    jaw = (JAW_OPEN, JAW_LEFT, JAW_RIGHT)
    shapes = {name: mesh.offsets(offsets)
              for name, offsets in kit.expressions.items()
              if name not in jaw}
    gaze = {}
    for name, offsets in shapes.items():
        if name.lower().startswith(GAZE):
            turned = split_gaze(
                mesh.vertices, offsets, {eye: mesh.parts[eye]
                                         for eye in EYES},
                {eye: eyes[eye].center for eye in EYES})
            shapes[name], gaze[name] = turned.offsets, turned.poses
    if np.abs(rest).max() > _NOTHING:
        shapes[JAW_REST] = rest
    if len(shapes) > NUM_EXPRESSION:
        raise ValueError(
            f'{kit.folder} holds {len(shapes)} expressions besides those of '
            f'the jaw, but a head has room for {NUM_EXPRESSION}. Move OBJ '
            'files that are not needed out of the folder.')
    return {name: shapes[name] for name in expression_order(shapes)}, gaze


def _jaw(kit: IctKit, mesh: HeadMesh, layout: IctLayout) -> JawRig:
    """Fit the joint of the jaw, on the kit's teeth and gums too."""
    moves = [kit.expressions[name]
             for name in (JAW_OPEN, JAW_LEFT, JAW_RIGHT)]
    neutral = (kit.neutral.vertices - mesh.origin) * mesh.metres
    telling = np.concatenate([
        np.arange(*layout.parts[name]) for name in ('face', 'gums', 'teeth')
        if name in layout.parts])
    hinge = fit_hinge(neutral[telling], moves[0][telling] * mesh.metres,
                      mesh.vertices[mesh.landmarks])
    solids = (pieces(mesh.faces, mesh.parts['teeth'])
              if 'teeth' in mesh.parts else [])
    return fit_jaw(mesh.vertices, mesh.faces, hinge,
                   tuple(mesh.offsets(move) for move in moves),
                   mesh.parts['left_eye'] | mesh.parts['right_eye'], solids)


def convert_kit(kit: IctKit,
                layout: IctLayout = ICT_LIGHT,
                parts: Sequence[str] = (),
                full_activation: float = 1.) -> IctHead:
    """Make a head in the layout of FLAME.

    * Identity component k is ``identity<k>.obj`` minus neutral (the kit's
      coefficients are N(0, 1)); the rest of the 300 are zero.
    * Expression components are the other files minus neutral, divided by
      ``full_activation``, in the order of
      :func:`~mmtvface.converters.ict_facekit.layout.expression_order`; the
      rest of the 100 are zero.
    * jawOpen, jawLeft and jawRight are poses of the jaw joint instead; what
      the rotation does not explain are pose correctives and, for what
      jawLeft and jawRight have in common, the component jawSide_rest.
      It stands behind jawForward, among the 50 that models use by default.
    * jawForward stays a plain component: the jaw glides, and a turn about
      its hinge explains little of that.
    * Of eyeLook*, the turning of the eyeballs is a pose of the eyes' joints
      instead; the component has the eyelids.

    Args:
        kit: Of :func:`read_kit`.
        layout: Of the kit.
        parts: Optional parts: mouth_socket, eye_sockets, gums, teeth.
        full_activation: Coefficient that gives a full expression: 1 as in
            the kit, or 2 as in the built-in head, whose codes have unit
            variance.

    Raises:
        ValueError: If something is not as in the kit.
    """
    if not (np.isfinite(full_activation) and full_activation > 0):
        raise ValueError('full_activation must be positive, but it is '
                         f'{full_activation}.')
    if len(kit.identity) > NUM_IDENTITY:
        raise ValueError(f'{len(kit.identity)} identity components do not '
                         f'fit into {NUM_IDENTITY}.')
    mesh = select_head(kit.neutral, layout, parts)
    eyes = {eye: fit_sphere(mesh.vertices[mesh.parts[eye]]) for eye in EYES}
    jaw = _jaw(kit, mesh, layout)
    shapes, gaze = _expressions(kit, mesh, eyes, jaw.rest)
    count = len(mesh.vertices)
    directions = np.zeros((count, 3, NUM_IDENTITY + NUM_EXPRESSION))
    for number, offsets in enumerate(kit.identity):
        directions[..., number] = mesh.offsets(offsets)
    for number, offsets in enumerate(shapes.values(), NUM_IDENTITY):
        directions[..., number] = offsets / full_activation
    correctives = np.zeros((count, 3, 36))
    block = 9 * (JAW - 1)
    correctives[..., block:block + 9] = jaw.correctives
    model = HeadModelData(
        v_template=mesh.vertices,
        faces=mesh.faces,
        shapedirs=directions,
        posedirs=correctives,
        J_regressor=joint_regressor(
            mesh, jaw.hinge.joint,
            {eye: sphere.center for eye, sphere in eyes.items()}),
        parents=PARENTS.copy(),
        weights=skinning_weights(mesh, jaw.weights))
    uv_map, sheets = pack_uv_map(mesh.uv_coords, mesh.uv_faces,
                               face_parts(mesh))
    return IctHead(
        model=model, landmarks=embed_landmarks(mesh),
        topology=head_topology(mesh, uv_map), mesh=mesh,
        expression_names=tuple(shapes), jaw=jaw, gaze=gaze, eyes=eyes,
        sheets=sheets, full_activation=full_activation, license=kit.license)


def face_parts(mesh: HeadMesh) -> dict[str, np.ndarray]:
    """Name -> (F,) bool: to which part triangles belong, the face first.

    A triangle between two parts belongs to the first one it touches.
    """
    free = np.ones(len(mesh.faces), dtype=bool)
    result = {}
    for name, members in mesh.parts.items():
        result[name] = free & members[mesh.faces].any(1)
        free &= ~result[name]
    return {name: rows for name, rows in result.items() if rows.any()}


def head_albedo(head: IctHead, texture: str) -> AlbedoMaps | None:
    """The generated albedo for one of :data:`TEXTURES`.

    Raises:
        ValueError: If it is none of them.
    """
    if texture not in TEXTURES:
        raise ValueError(f'texture must be one of {TEXTURES}, but it is '
                         f'{texture!r}.')
    if texture == 'none':
        return None
    uv_map = UVLayout(head.topology.uv_coords, head.topology.uv_faces)
    return transfer_albedo(head.mesh, uv_map, head.eyes,
                           with_basis=texture == 'full')


def save_head(folder: str | os.PathLike, head: IctHead,
              albedo: AlbedoMaps | None = None) -> Path:
    """Write the files of a head; ``generic_model.npz`` last.

    Besides those of
    :func:`~mmtvface.heads.providers.flame.save_head_files`:
    ``ict_facekit.json`` (names of the components, poses that stand for the
    kit's expressions, placement of its textures), ``ict_vertices.npy`` ((V,)
    which of the kit's vertices each one is), the kit's license, and
    ``mean_texture.png`` instead of ``FLAME_texture.npz`` if the albedo has
    no components.

    Args:
        folder: Made if it does not exist; existing files are replaced, and
            textures of an earlier conversion removed.
        head: The head.
        albedo: Its albedo, or None.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ('generic_model.npz', 'FLAME_texture.npz',
                  'mean_texture.png'):
        (folder / stale).unlink(missing_ok=True)
    with atomic_path(folder / INFO_FILE) as path:
        path.write_text(json.dumps(head.summary(), indent=1) + '\n', 'utf-8')
    with atomic_path(folder / INDEX_FILE) as path:
        np.save(path, head.mesh.kit_vertices)
    if head.license is not None:
        with atomic_path(folder / LICENSE_FILE) as path:
            path.write_text(head.license, 'utf-8')
    both = None
    if albedo is not None and albedo.basis is None:
        picture = np.round(255 * albedo.mean[..., ::-1]).astype(np.uint8)
        with atomic_path(folder / 'mean_texture.png') as path:
            if not cv2.imwrite(str(path), picture):
                raise OSError(f'cannot write {path}')
    elif albedo is not None:
        both = albedo.mean, albedo.basis
    return save_head_files(folder, head.model, head.landmarks, head.topology,
                           both)
