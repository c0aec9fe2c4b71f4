# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Meshes as files."""

from typing import TYPE_CHECKING

from mmtvface.io.mesh import write_obj, write_ply

from ..writer import Kind, Target, Writer, register, result_dir

if TYPE_CHECKING:
    from ..painted_frame import PaintedFrame


@register('obj', 'meshes/<name>.obj, .mtl, .png',
          'mesh in metres with material, texture and tangent-space normal '
          'map', requires_image='texture')
class CoarseMeshWriter(Writer):
    """``meshes/<result>.obj`` with ``.mtl``, texture and normal map."""

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = result_dir(target.out_dir, 'meshes',
                               ('.obj', '.mtl', '.png'))

    def add(self, frame: 'PaintedFrame') -> None:
        """Write the mesh of a frame."""
        from mmtvface.visualization.overlay import to_pixels
        result, painter = frame.result, frame.painter
        if not result.valid:
            return
        renderer, uv_map = painter.renderer, {}
        if painter.has_uv_map:
            texture = frame.texture
            uv_map = dict(
                uv_coords=renderer.uv_coords.cpu().numpy(),
                uv_faces=renderer.uv_faces.cpu().numpy(),
                texture=None if texture is None else to_pixels(texture[0]),
                normals=painter.mesh_normals(frame.face),
                normal_map=painter.normal_map(frame.face))
        write_obj(self.path / f'{result.name}.obj', result.vertices,
                  renderer.faces.cpu().numpy(), **uv_map)


@register('dense', 'dense/<name>.ply, .obj',
          'the detailed surface, one coloured vertex per texel',
          requires=['detail'])
class DenseMeshWriter(Writer):
    """``dense/<result>.ply`` and ``.obj`` with the colours of the texture."""

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = result_dir(target.out_dir, kind.name, ('.obj', '.ply'))

    def add(self, frame: 'PaintedFrame') -> None:
        """Write the detailed mesh of a frame."""
        if not frame.result.valid:
            return
        mesh = frame.painter.dense_mesh(frame.face, frame.texture)
        name = frame.result.name
        write_ply(self.path / f'{name}.ply', *mesh)
        write_obj(self.path / f'{name}.obj', mesh.vertices, mesh.faces,
                  colors=mesh.colors)
