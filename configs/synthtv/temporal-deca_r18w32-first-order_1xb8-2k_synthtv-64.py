"""Ablation: first-order propagation."""
_base_ = './temporal-deca_r18w32_1xb8-2k_synthtv-64.py'
model = dict(encoder=dict(order=1))
