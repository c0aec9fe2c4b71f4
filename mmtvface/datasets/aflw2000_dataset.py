# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""AFLW2000-3D: 2000 photographs with 68 landmarks in 3D and head poses."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from mmtvface.geometry.crop import crop_matrix, landmark_box
from mmtvface.registry import DATASETS

from .single_image import single_image_item

_IMAGES = ('.jpg', '.jpeg', '.png')
_LANDMARKS, _POSE = 'pt3d_68', 'Pose_Para'
_SOURCE = ('AFLW2000-3D is a folder of image00002.jpg, image00002.mat, ... '
           'from http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/'
           'main.htm')


class AFLW2000Annotation(NamedTuple):
    """What a ``.mat`` file says.

    Attributes:
        landmarks: (68, 2) float64 pixel indices.
        pose: (3,) float64 degrees: pitch, yaw, roll; NaN where it is not
            stated.
    """

    landmarks: np.ndarray
    pose: np.ndarray


def read_annotation(path: Path, first_pixel: float = 1.
                    ) -> AFLW2000Annotation:
    """Read landmarks and pose of an image.

    Args:
        path: ``.mat`` with ``pt3d_68`` (3, 68), x and y in pixels, and
            ``Pose_Para`` (1, 7): pitch, yaw, roll (radians), ...
        first_pixel: Coordinate of the centre of the first pixel in the
            file: 1 as MATLAB counts, or 0.

    Raises:
        ValueError: If it cannot be read, or has other contents; the message
            names the file.
    """
    from scipy.io import loadmat
    try:
        content = loadmat(path, variable_names=[_LANDMARKS, _POSE])
    # A damaged file makes the reader raise errors of many kinds.
    except Exception as error:
        raise ValueError(f'{path} cannot be read as a MATLAB file '
                         f'({error}).') from error
    if _LANDMARKS not in content:
        raise ValueError(f'{path} has no {_LANDMARKS}. {_SOURCE}.')
    points = content[_LANDMARKS]
    if points.shape not in ((3, 68), (2, 68)) or points.dtype.kind not in (
            'f', 'i', 'u'):
        raise ValueError(f'{path}: {_LANDMARKS} must be numbers (3, 68), but '
                         f'it is {points.dtype} {points.shape}.')
    points = points[:2].T.astype(np.float64) - first_pixel
    if not np.isfinite(points).all() or not (np.ptp(points, 0) > 0).all():
        raise ValueError(f'{path}: the landmarks are not finite or lie on '
                         'one point or line.')
    pose = np.full(3, np.nan)
    if _POSE in content and content[_POSE].size >= 3 and (
            content[_POSE].dtype.kind in 'fiu'):
        pose = np.degrees(content[_POSE].ravel()[:3].astype(np.float64))
    return AFLW2000Annotation(points, pose)


@DATASETS.register_module()
class AFLW2000Dataset(BaseDataset):
    """AFLW2000-3D (Zhu et al., "Face alignment across large poses", 2016).

    Layout::

        data_root/image00002.jpg
        data_root/image00002.mat     pt3d_68 (3, 68), Pose_Para (1, 7)

    Every image is a clip of one frame, cropped around its landmarks. The
    landmarks are those of a 3D face model, hidden ones included, with the
    contour fixed on the surface: compare them with ``pred_landmarks3d``.
    ``.mat`` files are read once, at the start; those that are missing or
    damaged are skipped and reported (``skipped``). An image that turns out to
    be unreadable counts as skipped, see
    :func:`~mmtvface.datasets.single_image.single_image_item`.

    The meta information of a sample has ``yaw``, ``pitch`` and ``roll``, (1,)
    float64 degrees each, NaN where the file states no pose.

    Args:
        data_root: Folder of the images.
        image_size: Side of the crop in pixels.
        scale: Side of the crop relative to the landmark box.
        first_pixel: The published files come from MATLAB: the first pixel
            of an image is 1 there. 0 for converted ones.
        **kwargs: See mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the root is not such a folder; says what was
            looked for and found.
        ValueError: If no annotation can be used.
    """

    METAINFO = {'dataset_type': 'aflw2000', 'num_landmarks': 68}

    def __init__(self, data_root: str, image_size: int = 224,
                 scale: float = 1.6, first_pixel: float = 1.,
                 test_mode: bool = True, **kwargs: Any) -> None:
        self.image_size = image_size
        self.scale = scale
        self.first_pixel = first_pixel
        self.skipped: dict[str, str] = {}
        super().__init__(data_root=str(Path(data_root).expanduser()),
                         pipeline=[], test_mode=test_mode, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read all annotations."""
        root = Path(self.data_root)
        images = _images(root)
        logger = MMLogger.get_current_instance()
        items = []
        for image in images:
            try:
                mat = image.with_suffix('.mat')
                if not mat.is_file():
                    raise ValueError(f'{image} has no {mat.name} beside it.')
                note = read_annotation(mat, self.first_pixel)
            except ValueError as error:
                self.skipped[image.name] = str(error)
                continue
            pitch, yaw, roll = note.pose[:, None]
            items.append(dict(
                img_path=str(image), landmarks=note.landmarks, yaw=yaw,
                pitch=pitch, roll=roll))
        warnings = list(self.skipped.values())
        for warning in warnings[:20]:
            logger.warning(f'Skipped: {warning}')
        if not items:
            raise ValueError(
                f'None of the {len(images)} images in {root} has an '
                f'annotation that can be used. {warnings[0]}')
        logger.info(f'AFLW2000 in {root}: {len(items)} images, '
                    f'{len(warnings)} skipped.')
        return items

    def prepare_data(self, idx: int) -> dict:
        """One image as a clip of one frame."""
        info = self.get_data_info(idx)
        path = Path(info['img_path'])
        matrix = crop_matrix(landmark_box(info['landmarks']),
                             self.image_size, self.scale)
        return single_image_item(
            path, matrix, self.image_size, info['landmarks'],
            clip_id=path.stem, identity=path.stem,
            **{name: info[name] for name in ('yaw', 'pitch', 'roll')})


def _images(root: Path) -> list[Path]:
    """Images in a folder that also has annotations.

    Raises:
        FileNotFoundError: If the folder is another one.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f'data_root of AFLW2000Dataset is no folder: {root} (looked for '
            f'{root.absolute()}). {_SOURCE}.')
    entries = sorted(root.iterdir())
    images = [path for path in entries if path.suffix.lower() in _IMAGES]
    annotated = sum(path.suffix.lower() == '.mat' for path in entries)
    if not images or not annotated:
        names = [path.name for path in entries[:5]]
        raise FileNotFoundError(
            f'{root} is not AFLW2000: looked for images and .mat files in '
            f'it, found {len(images)} images and {annotated} .mat files '
            f'among {len(entries)} entries {names}. {_SOURCE}.')
    return images
