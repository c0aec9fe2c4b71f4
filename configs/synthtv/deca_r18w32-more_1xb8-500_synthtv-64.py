"""Single-frame DECA, trained on: the baseline of the adapters.

They start from the same weights and get the same 500 batches.
"""
_base_ = './deca_r18w32_1xb8-1k_synthtv-64.py'
max_iters = 500
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=20, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = 'work_dirs/deca_r18w32_1xb8-1k_synthtv-64/iter_1000.pth'
