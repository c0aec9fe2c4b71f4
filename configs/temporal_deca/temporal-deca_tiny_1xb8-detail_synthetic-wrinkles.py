"""Stage 3 of the small chain: displacement maps on the frozen coarse model.

Learnt in minutes from the true surface by a sum of learnt maps; the published
terms and the published decoder, which take days, are in the full-size configs.
"""
_base_ = './temporal-deca_tiny_1xb8-coarse_synthetic-wrinkles.py'
max_iters = 200
model = dict(
    stage='detail',
    detail_consistency=False,
    detail=dict(
        type='DetailBranch',
        encoder=dict(type='ResNetEncoder', depth=18, base_channels=32,
                     input_norm='imagenet'),
        regressor=dict(type='DetailHead', hidden_channels=512),
        decoder=dict(type='BasisDetailDecoder', max_displacement=0.004),
        surface=dict(type='DetailSurface', size=128, faceted=False)),
    losses=dict(
        _delete_=True,
        normal=dict(type='NormalLoss', loss_weight=100.0),
        displacement=dict(type='DisplacementLoss', loss_weight=30.0),
        displacement_prior=dict(type='DisplacementPriorLoss',
                                loss_weight=0.005)))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(T_max=max_iters)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='VertexError'),
    dict(type='DetailNormalError'), dict(type='MotionFidelity'),
    dict(type='IdentityGain')]
test_evaluator = val_evaluator
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = ('work_dirs/temporal-deca_tiny_1xb8-coarse_synthetic-wrinkles/'
             'iter_200.pth')
