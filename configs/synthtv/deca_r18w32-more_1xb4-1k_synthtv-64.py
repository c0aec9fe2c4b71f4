"""Baseline: the trained single frame, trained on.

The adapters start from the same weights and get the same 1000 batches of 4
clips of 10 frames.
"""
_base_ = './deca_r18w32_1xb8-1k_synthtv-64.py'
max_iters = 1000
train_dataloader = dict(batch_size=4, dataset=dict(clip_length=10))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=20, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = 'work_dirs/deca_r18w32_1xb20-4k_synthtv-64/iter_4000.pth'
