# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of heads in their frames."""

from typing import TYPE_CHECKING

from ..writer import Kind, Target, Writer, register, result_dir, save_png

if TYPE_CHECKING:
    from ..painted_frame import PaintedFrame


class PictureWriter(Writer):
    """``<kind>/frame/<result>.png`` and ``<kind>/crop/<result>.png``.

    Each shows one face. The first has the size of the frame with the face in
    its place, the second is the crop that the model saw. Depth is 16 bit;
    pictures of it for the eye are in ``frame_view`` and ``crop_view``.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = target.out_dir / kind.name
        folders = ['frame', 'crop']
        if kind.name == 'depth':
            folders += ['frame_view', 'crop_view']
        for folder in folders:
            result_dir(target.out_dir, f'{kind.name}/{folder}', ('.png', ))

    def add(self, frame: 'PaintedFrame') -> None:
        """Write the pictures of a frame."""
        from mmtvface.visualization.encodings import view_depth
        if not frame.drawable:
            return
        name = f'{frame.result.name}.png'
        for folder, pictures in (('frame', frame.in_frame),
                                 ('crop', frame.in_crop)):
            picture = pictures[self.kind.picture]
            save_png(self.path / folder / name, picture)
            if self.kind.name == 'depth':
                save_png(self.path / f'{folder}_view' / name,
                         view_depth(picture))


for _name, _requires, _help in (
        ('overlay', (), 'grey mesh over the image'),
        ('detail_overlay', ['detail'], 'the same with detail'),
        ('rendered', ['albedo'], 'albedo and light over the image'),
        ('albedo', ['albedo'], 'colours without light'),
        ('normals', (),
         'RGB = 255 (n + 1) / 2; x right, y up, z to the camera'),
        ('depth', (),
         '16 bit: (value - 32768) / 100 mm towards the camera from the '
         "head's origin, 0 where there is no head; *_view/ has pictures for "
         'the eye')):
    register(_name, f'{_name}/{{frame,crop}}/<name>.png', _help,
             requires=_requires, picture=_name)(PictureWriter)
