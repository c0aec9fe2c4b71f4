"""Variant: the adapter on maps of stride 8, as a detail branch shares them."""
_base_ = './lite-deca_r18w32_1xb8-500_synthtv-64.py'
model = dict(encoder=dict(propagation_stage=2))
