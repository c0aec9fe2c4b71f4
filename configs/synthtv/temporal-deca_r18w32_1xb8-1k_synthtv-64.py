"""The seed's temporal encoder, narrow: BasicVSR++ propagation at stride 4.

SPyNet's weights come from ``python tools/synthtv_flow.py``.
"""
_base_ = [
    '../_base_/models/synthtv_single.py',
    '../_base_/datasets/synthtv.py',
    '../_base_/schedules/synthtv_1k.py',
]
model = dict(
    encoder=dict(
        _delete_=True, type='TemporalResNet', mid_channels=16, depth=18,
        base_channels=32, num_blocks=1, num_extra_blocks=1,
        propagation_stride=4, norm_cfg=dict(type='BN'), deform_groups=2,
        spynet_pretrained='data/checkpoints/spynet_synthtv.pth',
        input_norm='imagenet', pool_size=2),
    regressor=dict(shape_mode='clip'))
