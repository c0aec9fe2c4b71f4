"""Ablation: two branches forward in time, none backward."""
_base_ = './temporal-deca_r18w32_1xb8-2k_synthtv-64.py'
model = dict(encoder=dict(branches=('forward_1', 'forward_2')))
