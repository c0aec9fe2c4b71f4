# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The images of the NoW benchmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from mmtvface.geometry.crop import crop_matrix
from mmtvface.registry import DATASETS
from mmtvface.utils.assets import listing
from mmtvface.utils.safe_pickle import load_npy

from .single_image import single_image_item

_LISTS = dict(val='imagepathsvalidation.txt', test='imagepathstest.txt')
_PICTURES, _BOXES = 'iphone_pictures', 'detected_face'
# Where the release puts its parts below the folder that it is unpacked to.
_FOLDERS = ('.', 'final_release_version', 'NoW_Dataset',
            'NoW_Dataset/final_release_version')
_SIDES = ('left', 'top', 'right', 'bottom')
_SOURCE = 'NoW is found at https://now.is.tue.mpg.de (after registration)'


def read_face_box(path: Path) -> tuple[float, float, float, float]:
    """Read the box of a face.

    Args:
        path: ``.npy`` with a dict of left, top, right and bottom (pickled,
            as published; read without running code), or with these four
            numbers.

    Returns:
        left, top, right, bottom, pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    content = load_npy(path, 'face box', f'{_SOURCE}.')
    try:
        if isinstance(content, dict):
            values = [content[side] for side in _SIDES]
        else:
            values = np.asarray(content).ravel().tolist()
        left, top, right, bottom = (float(value) for value in values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} must hold a dict of {_SIDES} or four numbers, but '
            f'reading it failed ({error!r}).') from error
    if not (np.isfinite([left, top, right, bottom]).all() and left < right
            and top < bottom):
        raise ValueError(f'{path}: the box (left {left}, top {top}, right '
                         f'{right}, bottom {bottom}) is empty.')
    return left, top, right, bottom


@DATASETS.register_module()
class NoWDataset(BaseDataset):
    """Images of NoW (Sanyal et al., CVPR 2019), cropped to the given faces.

    Layout, in ``data_root`` or below it as the release has it::

        imagepathsvalidation.txt, imagepathstest.txt
        iphone_pictures/<subject>/<challenge>/<image>.jpg
        detected_face/<subject>/<challenge>/<image>.npy

    Every image is a clip of one frame without ground truth. ``clip_id`` is
    ``<subject>/<challenge>/<image>``, ``identity`` the subject. Listed images
    without a picture or box are skipped and reported (and are in
    ``skipped``), since the benchmark takes complete submissions only.

    Args:
        data_root: Folder of the benchmark.
        split: 'val' or 'test', chooses the list of images.
        ann_file: Another list, one ``<subject>/<challenge>/<image>.jpg`` per
            line; relative to ``data_root``, or absolute.
        image_size: Side of the crop in pixels.
        scale: Side of the crop relative to the box; 1.6 in the protocol
            of DECA (Feng et al., SIGGRAPH 2021).
        **kwargs: See mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the root, the list or all of its images are not
            there; says what was looked for and found.
        ValueError: If the split is unknown or no box can be used.
    """

    METAINFO = {'dataset_type': 'now'}

    def __init__(self, data_root: str, split: str = 'val',
                 ann_file: str = '', image_size: int = 224,
                 scale: float = 1.6, test_mode: bool = True,
                 **kwargs: Any) -> None:
        if split not in _LISTS:
            raise ValueError(f'split must be one of {tuple(_LISTS)}, but it '
                             f'is {split!r}.')
        self.split = split
        self.image_size = image_size
        self.scale = scale
        self.skipped: dict[str, str] = {}
        super().__init__(
            ann_file=ann_file, data_root=str(Path(data_root).expanduser()),
            pipeline=[], test_mode=test_mode, **kwargs)

    def _join_prefix(self) -> None:
        """The list is looked for by :meth:`load_data_list`."""

    def load_data_list(self) -> list[dict]:
        """Read the list of images and their boxes."""
        root = Path(self.data_root)
        image_list = _find(root, self.ann_file or _LISTS[self.split], False)
        pictures, boxes = (_find(root, name, True)
                           for name in (_PICTURES, _BOXES))
        names = [line.strip().replace('\\', '/').lstrip('/') for line in
                 image_list.read_text(encoding='utf-8').splitlines()]
        names = list(dict.fromkeys(name for name in names if name))
        if not names:
            raise ValueError(f'The list of images {image_list} is empty.')
        if not any((pictures / name).is_file() for name in names):
            raise FileNotFoundError(
                f'None of the {len(names)} images in {image_list} is in '
                f'{pictures}: looked for {names[0]}, ..., found '
                f'{listing(pictures)}. {_SOURCE}.')
        items = []
        for name in names:
            path = Path(name)
            try:
                if not (pictures / path).is_file():
                    raise FileNotFoundError(f'no image {pictures / path}')
                box = read_face_box(boxes / path.with_suffix('.npy'))
            except (OSError, ValueError) as error:
                self.skipped[path.with_suffix('').as_posix()] = str(error)
                continue
            items.append(dict(img_path=str(pictures / path), box=box,
                              clip_id=path.with_suffix('').as_posix(),
                              subject=path.parts[0]))
        self._report(len(items))
        return items

    def _report(self, usable: int) -> None:
        """Say what is skipped; raise if that is all.

        Raises:
            ValueError: If nothing is usable.
        """
        logger = MMLogger.get_current_instance()
        reasons: Sequence[str] = list(self.skipped.values())
        for reason in reasons[:20]:
            logger.warning(f'Skipped: {reason}')
        if not usable:
            raise ValueError(f'None of the {len(reasons)} listed images of '
                             f'NoW can be used. {reasons[0]}')
        logger.info(f'NoW in {self.data_root}: {usable} images, '
                    f'{len(reasons)} skipped.')

    def prepare_data(self, idx: int) -> dict:
        """One image as a clip of one frame."""
        info = self.get_data_info(idx)
        matrix = crop_matrix(info['box'], self.image_size, self.scale)
        return single_image_item(
            Path(info['img_path']), matrix, self.image_size,
            clip_id=info['clip_id'], identity=info['subject'])


def _find(root: Path, name: str, is_folder: bool) -> Path:
    """A part of the benchmark, in the root or where the release has it.

    Raises:
        FileNotFoundError: If it is nowhere.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f'data_root of NoWDataset is no folder: {root} (looked for '
            f'{root.absolute()}). {_SOURCE}.')
    for folder in _FOLDERS:
        path = root / folder / name
        if path.is_dir() if is_folder else path.is_file():
            return path
    places = ', '.join(str(root / folder) for folder in _FOLDERS)
    raise FileNotFoundError(
        f'{root} is not the NoW benchmark: looked for {name} in {places}, '
        f'found {listing(root)}. {_SOURCE}.')
