"""Stage 1 of the small chain on two CPU cores: landmarks and the truth.

``python tools/train_chain.py`` runs the three stages one after another.
"""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/temporal_deca_tiny.py',
    '../_base_/datasets/synthetic_wrinkles_96.py',
]
max_iters = 700
model = dict(
    image_size=96,
    texture=dict(size=128),
    renderer=dict(uv_size=128))
optim_wrapper = dict(
    type='OptimWrapper', constructor='TrainableParametersConstructor',
    optimizer=dict(type='Adam', lr=1e-3), clip_grad=dict(max_norm=50.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=5e-5,
         by_epoch=False)]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=100))
