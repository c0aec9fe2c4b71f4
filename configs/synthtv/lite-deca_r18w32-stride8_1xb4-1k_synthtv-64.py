"""Variant: the adapter between the stages, on maps of stride 8."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
model = dict(encoder=dict(propagation_stage=2))
