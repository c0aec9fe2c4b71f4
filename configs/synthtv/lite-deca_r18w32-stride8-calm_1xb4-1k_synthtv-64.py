"""Variant: maps of stride 8 and the stronger loss on the motion."""
_base_ = './lite-deca_r18w32-stride8_1xb4-1k_synthtv-64.py'
model = dict(losses=dict(motion=dict(loss_weight=0.02)))
