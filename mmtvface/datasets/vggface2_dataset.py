# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""VGGFace2 as clips of K images of one identity."""

from collections.abc import Sequence
from typing import Any

from mmtvface.registry import DATASETS

from .identity_clip_dataset import IdentityClipDataset


@DATASETS.register_module()
class VGGFace2Dataset(IdentityClipDataset):
    """VGGFace2 (Cao et al., FG 2018) in its published folders.

    ::

        data_root/train/n000002/0001_01.jpg
        data_root/train/n000002/0001_01.npy        landmarks (68, 2)
        data_root/train/n000002/0001_01_mask.png   skin, optional
        data_root/train_list.npy                   optional, (N, K) names

    A list has names such as ``n000002/0001_01``, a row of K names of one
    identity for each item, as the published training of DECA reads them. The
    set comes without landmarks and masks;
    ``tools/dataset_converters/annotate_faces.py`` writes them beside the
    images. Trees of their own are named by ``landmark_dir`` and ``mask_dir``.

    Args:
        data_root: Folder that holds ``train`` and ``test``.
        ann_file: See :class:`IdentityClipDataset`.
        image_dir: 'train' or 'test'.
        **kwargs: As for :class:`IdentityClipDataset`.
    """

    EXAMPLE = 'n000002/0001_01.jpg'

    def __init__(self, data_root: str, ann_file: str | Sequence[str] = '',
                 image_dir: str = 'train', **kwargs: Any):
        super().__init__(data_root, ann_file, image_dir, **kwargs)
