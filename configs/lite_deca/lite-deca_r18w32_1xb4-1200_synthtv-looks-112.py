"""Third phase of the packaged model: people who look like people.

Four of five clips have random looks (hair, brows, beards, glasses, colours),
without which the model does not believe what photographs show of the pose.
Longer clips teach the adapter to remember.
"""
_base_ = './lite-deca_r18w32_1xb8-1500_synthtv-112.py'
max_iters = 1200
train_dataloader = dict(
    batch_size=4, dataset=dict(clip_length=10, vary_looks=0.8))
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200))
load_from = ('work_dirs/lite-deca_r18w32_1xb8-1500_synthtv-112/'
             'iter_1500.pth')
