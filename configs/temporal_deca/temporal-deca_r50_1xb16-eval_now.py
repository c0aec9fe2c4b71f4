"""Evaluation on NoW of any checkpoint of this model."""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/temporal_deca_r50.py',
    '../_base_/datasets/now.py',
]
test_evaluator = [
    dict(type='NeutralMeshExport', out_dir='work_dirs/now',
         flame={{_base_.model.flame}})]
