"""Ablation: a branch reads one earlier output, not two."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
model = dict(encoder=dict(order=1))
