"""Stage 1 of the single-frame baseline on four data sets, by weights.

Other shares: ``--cfg-options train_dataloader.dataset.weights="[1,1,1,1]"``.
Another place: ``train_dataloader.dataset.datasets.1.data_root=/data/vox/dev``.
"""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/deca_r50.py',
    '../_base_/datasets/mixed.py',
    '../_base_/schedules/adam_100k.py',
]
