"""Stage 3 of the small chain: displacement maps on the frozen coarse model.

The published terms, without the MRF loss, whose network cannot be had
offline, and the normals of the true surface.
"""
_base_ = './temporal-deca_tiny_1xb8-coarse_synthetic-wrinkles.py'
max_iters = 500
model = dict(
    stage='detail',
    detail_consistency=False,
    detail=dict(
        type='DetailBranch',
        encoder=dict(type='ResNetEncoder', depth=18, base_channels=32,
                     input_norm='imagenet'),
        head=dict(type='DetailHead', hidden_channels=512),
        decoder=dict(type='DetailDecoder', max_displacement=0.006,
                     norm_eps=1e-5),
        surface=dict(type='DetailSurface', topology='procedural', size=128,
                     faceted=False)),
    losses=dict(
        _delete_=True,
        photo_detail=dict(type='PhotoDetailLoss', loss_weight=2.0),
        normal=dict(type='NormalLoss', loss_weight=100.0),
        displacement_prior=dict(type='DisplacementPriorLoss',
                                loss_weight=0.005),
        shading=dict(type='ShadingSmoothnessLoss', loss_weight=0.005),
        symmetry=dict(type='DetailSymmetryLoss', loss_weight=0.005)))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(T_max=max_iters)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='VertexError'),
    dict(type='DetailNormalError')]
test_evaluator = val_evaluator
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = ('work_dirs/temporal-deca_tiny_1xb8-coarse_synthetic-wrinkles/'
             'iter_200.pth')
