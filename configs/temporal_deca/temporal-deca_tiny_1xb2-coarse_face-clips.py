"""The small model on real clips, stage 2: images too.

No exchange of shape codes: the small head's identity is that of the clip.
"""
_base_ = './temporal-deca_tiny_1xb2-pretrain_face-clips.py'
model = dict(
    losses=dict(
        photometric=dict(type='PhotometricLoss', loss_weight=2.0),
        tex_prior=dict(type='CodePriorLoss', name='tex', loss_weight=1e-4),
        light_prior=dict(type='LightPriorLoss', loss_weight=1.0)))
load_from = ('work_dirs/temporal-deca_tiny_1xb2-pretrain_face-clips/'
             'iter_400.pth')
