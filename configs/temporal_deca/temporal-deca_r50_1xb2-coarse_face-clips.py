"""Stage 2, from the pretrained model: images, and one identity per clip.

The identity loss needs licensed weights and is added where they are:
``identity=dict(type='IdentityLoss', loss_weight=0.2,
weights='data/checkpoints/resnet50_ft_weight.pkl')``.
"""
_base_ = './temporal-deca_r50_1xb2-pretrain_face-clips.py'
model = dict(
    shape_consistency=True,
    losses=dict(
        photometric=dict(type='PhotometricLoss', loss_weight=2.0),
        tex_prior=dict(type='CodePriorLoss', name='tex', loss_weight=1e-4),
        light_prior=dict(type='LightPriorLoss', loss_weight=1.0)))
load_from = ('work_dirs/temporal-deca_r50_1xb2-pretrain_face-clips/'
             'iter_100000.pth')
