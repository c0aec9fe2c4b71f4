"""Ablation: without the loss on the motion."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
model = dict(losses=dict(motion=None))
