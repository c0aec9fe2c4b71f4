"""Faces from 64x64 crops: mmagic's BasicVSR++ x4 in front of the encoder.

The restorer's weights are any of mmagic's BasicVSR++ x4 checkpoints. It is
frozen; ``freeze_restorer=False`` trains it with the reconstruction losses.
"""
_base_ = './temporal-deca_r50_1xb2-coarse_face-clips.py'
model = dict(
    encoder=dict(
        _delete_=True,
        type='RestoredEncoder',
        restorer=dict(
            type='mmagic.BasicVSRPlusPlusNet', mid_channels=64, num_blocks=7),
        restorer_pretrained='data/checkpoints/basicvsr_plusplus_x4.pth',
        freeze_restorer=True,
        image_size=224,
        encoder={{_base_.model.encoder}}),
    image_size=64)
