"""Single-frame DECA, trained four times as long on pairs of frames.

The start of everything that is compared at 1000 batches more: 20 people a
batch instead of 8 teach a network more than frames of the same clip do.
"""
_base_ = './deca_r18w32_1xb8-1k_synthtv-64.py'
max_iters = 4000
train_dataloader = dict(batch_size=20, dataset=dict(clip_length=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=2e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = 'work_dirs/deca_r18w32_1xb8-1k_synthtv-64/iter_1000.pth'
