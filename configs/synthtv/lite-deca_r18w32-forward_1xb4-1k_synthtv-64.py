"""Ablation: one direction; it could run on a live stream."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
model = dict(encoder=dict(branches=('forward', 'forward')))
