"""The temporal coarse model at full size: 64 channels, 5 blocks, ResNet-50.

SPyNet's weights are read from ``data/checkpoints`` when training starts; any
OpenMMLab SPyNet file or BasicVSR(++) checkpoint will do.
"""
_base_ = './deca_r50.py'
model = dict(
    encoder=dict(
        _delete_=True,
        type='TemporalResNet',
        mid_channels=64,
        depth=50,
        num_blocks=5,
        num_extra_blocks=5,
        propagation_stride=2,
        norm_cfg=dict(type='BN'),
        deform_groups=16,
        max_residue_magnitude=10,
        spynet_pretrained='data/checkpoints/spynet.pth',
        # less than a third of the published memory; a quarter more work
        with_cp=True))
