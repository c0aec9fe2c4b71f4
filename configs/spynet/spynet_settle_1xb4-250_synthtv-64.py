"""Last of three: clips as they are, at half the learning rate.

The network learns how small motion is, and how much to believe bad pictures.
"""
_base_ = ['./spynet_full_1xb4-500_synthtv-64.py']
iters = 250
train_dataloader = dict(dataset=dict(shifted=0.0))
param_scheduler = [
    dict(type='OneCycleLR', total_steps=iters, eta_max=5e-4, pct_start=0.1,
         by_epoch=False),
    dict(type='CosineAnnealingMomentum', end=24, T_max=24, eta_min=0.85,
         by_epoch=False),
    dict(type='CosineAnnealingMomentum', begin=24, end=iters - 1,
         T_max=iters - 25, eta_min=0.95, by_epoch=False)]
train_cfg = dict(max_iters=iters, val_interval=iters)
default_hooks = dict(checkpoint=dict(interval=iters))
load_from = 'work_dirs/spynet_full_1xb4-500_synthtv-64/iter_500.pth'
