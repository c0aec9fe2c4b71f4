"""Ablation: the deformable alignment without flows."""
_base_ = './temporal-deca_r18w32_1xb8-1k_synthtv-64.py'
model = dict(encoder=dict(with_flow=False, spynet_pretrained=None))
