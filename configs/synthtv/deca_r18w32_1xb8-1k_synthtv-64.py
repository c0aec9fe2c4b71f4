"""Single-frame DECA: no frame knows another."""
_base_ = [
    '../_base_/models/synthtv_single.py',
    '../_base_/datasets/synthtv.py',
    '../_base_/schedules/synthtv_1k.py',
]
