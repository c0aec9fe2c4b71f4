"""Variant: a loss on the motion four times as strong."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
model = dict(losses=dict(motion=dict(loss_weight=0.02)))
