"""Evaluation on NoW of any checkpoint of this model."""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/temporal_deca_r50.py',
    '../_base_/datasets/now.py',
]
