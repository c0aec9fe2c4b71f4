"""Faces from bad 64x64 crops: mmagic's RealBasicVSR in front of the encoder.

It cleans noise and compression before it enlarges, as old television needs.
"""
_base_ = './temporal-deca_basicvsrpp-r50_1xb2-coarse_face-clips-64.py'
model = dict(
    encoder=dict(
        restorer=dict(
            _delete_=True,
            type='mmagic.RealBasicVSRNet',
            mid_channels=64,
            num_propagation_blocks=20,
            num_cleaning_blocks=20,
            # clean again while the change is larger, for at most three times
            dynamic_refine_thres=5),
        restorer_pretrained='data/checkpoints/realbasicvsr_x4.pth'))
