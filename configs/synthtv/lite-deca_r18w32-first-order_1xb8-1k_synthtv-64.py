"""Ablation: a frame reads one earlier output of a branch, not two."""
_base_ = './lite-deca_r18w32_1xb8-1k_synthtv-64.py'
model = dict(encoder=dict(order=1))
