"""SPyNet's schedule: 500 batches, one cycle of rate and momentum."""
_base_ = ['../default_runtime.py']
iters = 500
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-3, betas=(0.95, 0.999)),
    clip_grad=dict(max_norm=1.))  # the first steps after zero flow are steep
param_scheduler = [
    dict(type='OneCycleLR', total_steps=iters, eta_max=1e-3, pct_start=0.1,
         by_epoch=False),
    dict(type='CosineAnnealingMomentum', end=49, T_max=49, eta_min=0.85,
         by_epoch=False),
    dict(type='CosineAnnealingMomentum', begin=49, end=iters - 1,
         T_max=iters - 50, eta_min=0.95, by_epoch=False)]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=iters, val_interval=iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=iters, save_best=None, max_keep_ckpts=1))
custom_hooks = [
    dict(type='SafeCheckpointHook'), dict(type='RNGStateHook'),
    dict(type='SamplerPositionHook')]
