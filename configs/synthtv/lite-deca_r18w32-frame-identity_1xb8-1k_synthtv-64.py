"""Ablation: shape and albedo of every frame on its own."""
_base_ = './lite-deca_r18w32_1xb8-1k_synthtv-64.py'
model = dict(head=dict(shape_mode='frame'))
