"""Variant: the adapter on the last maps, of stride 32."""
_base_ = './lite-deca_r18w32_1xb8-500_synthtv-64.py'
model = dict(encoder=dict(propagation_stage=4))
