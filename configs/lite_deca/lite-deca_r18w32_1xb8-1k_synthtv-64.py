"""First phase of the packaged model: crops of 64 pixels, from nothing."""
_base_ = [
    '../_base_/models/synthtv_single.py',
    '../_base_/datasets/synthtv.py',
    '../_base_/schedules/synthtv_1k.py',
]
model = dict(
    encoder=dict(
        type='LiteTemporalEncoder', propagation_stage=2,
        propagation_channels=64),
    head=dict(shape_mode='confidence'))
