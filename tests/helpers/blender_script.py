# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Runs inside Blender: imports a glTF file and plays it.

Usage: blender -b --factory-startup --python-exit-code 1 --python THIS -- \
    FILE.glb FPS OUT.json OUT.npz WIDEN FRAME [FRAME ...]
"""

import json
import sys

import bpy  # Blender's own module, of no other Python
import numpy as np


def import_file(path: str, fps: float) -> None:
    """Import into an empty scene; its rate comes first.

    The importer turns seconds into frames by the rate that the scene has.
    """
    # Importers of Blender before 3.5 use a name that NumPy 1.24 has removed.
    if 'bool' not in np.__dict__:
        np.bool = bool
    bpy.ops.wm.read_factory_settings(use_empty=True)
    render = bpy.context.scene.render
    render.fps = round(fps)
    render.fps_base = render.fps / fps
    bpy.ops.import_scene.gltf(filepath=path)


def widen_sliders() -> None:
    """Let weights be what the file says, as the README tells users to do.

    Blender's importer fits the range of a slider, at first 0 to 1, to the
    first keyframe alone (``coords[1:2]`` in its animation of weights), and
    cuts off what later ones have beyond.
    """
    for keys in bpy.data.shape_keys:
        for key in keys.key_blocks[1:]:
            key.slider_min, key.slider_max = -10, 10


def describe() -> dict:
    """What the file has become."""
    render = bpy.context.scene.render
    keys = bpy.data.shape_keys
    return dict(
        version=bpy.app.version_string, fps=render.fps / render.fps_base,
        objects={o.name: [o.type, o.parent.name if o.parent else None]
                 for o in bpy.data.objects},
        bones={b.name: b.parent.name if b.parent else None
               for a in bpy.data.armatures for b in a.bones},
        shape_keys=[b.name for k in keys for b in k.key_blocks],
        actions={a.name: list(a.frame_range) for a in bpy.data.actions},
        key_frames=sorted({point.co[0] for a in bpy.data.actions
                           for curve in a.fcurves
                           for point in curve.keyframe_points}),
        images={i.name: [*i.size, i.colorspace_settings.name]
                for i in bpy.data.images},
        links=[[link.from_node.type,
                getattr(link.from_node, 'image', None)
                and link.from_node.image.name,
                link.to_node.type, link.to_socket.name]
               for material in bpy.data.materials
               for link in material.node_tree.links])


def normals_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """(C, 3) of the corners."""
    if hasattr(mesh, 'calc_normals_split'):  # from 4.1 on they are there
        mesh.calc_normals_split()
    normals = np.zeros(3 * len(mesh.loops))
    mesh.loops.foreach_get('normal', normals)
    return normals.reshape(-1, 3)


def geometry(head: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) positions and normals of all corners, world, as displayed."""
    placed = head.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = placed.to_mesh()
    corners = np.zeros(len(mesh.loops), int)
    points = np.zeros(3 * len(mesh.vertices))
    mesh.loops.foreach_get('vertex_index', corners)
    mesh.vertices.foreach_get('co', points)
    normals, place = normals_of(mesh), np.array(placed.matrix_world)
    placed.to_mesh_clear()
    points = points.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3]
    return points[corners], normals @ place[:3, :3].T


def main(path: str, fps: float, told: str, played: str, widen: bool,
         frames: list[int]) -> None:
    """Import, play, and write what is seen."""
    import_file(path, fps)
    if widen:
        widen_sliders()
    head, = (o for o in bpy.data.objects if o.type == 'MESH')
    uv = np.zeros(2 * len(head.data.loops))
    if head.data.uv_layers:
        head.data.uv_layers[0].data.foreach_get('uv', uv)
    corners, normals = [], []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        for found, values in zip((corners, normals), geometry(head),
                                 strict=True):
            found.append(values)
    np.savez(played, corners=np.stack(corners), normals=np.stack(normals),
             rest_normals=normals_of(head.data), uv=uv.reshape(-1, 2))
    with open(told, 'w', encoding='utf-8') as file:
        json.dump(describe(), file)


if __name__ == '__main__':
    given = sys.argv[sys.argv.index('--') + 1:]
    main(given[0], float(given[1]), *given[2:4], bool(int(given[4])),
         [int(i) for i in given[5:]])
