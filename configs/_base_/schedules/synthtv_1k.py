"""The training budget of SynthTV: 1000 batches of 40 frames for everybody.

A single-frame model sees the same clips in the same order as the others. The
running statistics of batch norm settle in the last tenth, where the learning
rate is close to zero.
"""
_base_ = ['../default_runtime.py']
max_iters = 1000
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3),
    clip_grad=dict(max_norm=50.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=2e-5,
         by_epoch=False)]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=500, save_best=None, max_keep_ckpts=1))
