"""The temporal model's third stage: a second temporal encoder for detail.

It takes the flows that the coarse one computes. Its displacement is bound to
a millimetre, a tenth of DECA's. SPyNet's weights come with those of the
coarse stage.
"""
_base_ = './deca_r50_detail.py'
temporal = dict(
    type='TemporalResNet',
    mid_channels=64,
    depth=50,
    num_blocks=5,
    num_extra_blocks=5,
    propagation_stride=2,
    norm_cfg=dict(type='BN'),
    deform_groups=16,
    max_residue_magnitude=10,
    with_cp=True)
model = dict(
    encoder=dict(_delete_=True, **temporal),
    detail=dict(
        encoder=dict(_delete_=True, **temporal, with_flow='given'),
        decoder=dict(max_displacement=0.001)))
