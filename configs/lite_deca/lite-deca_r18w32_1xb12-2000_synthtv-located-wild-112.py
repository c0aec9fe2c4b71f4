"""Fifth phase of the packaged model: landmarks on bad pictures.

What was learnt on clean crops is now found on pictures as footage gives them.
"""
_base_ = './lite-deca_r18w32_1xb12-1100_synthtv-steady-112.py'
max_iters = 2000
model = dict(
    encoder=dict(with_landmarks=True),
    regressor=dict(feedback=2),
    losses=dict(
        located=dict(type='LocatedLandmarkLoss', loss_weight=20.0),
        expression=dict(corner_weight=8.0, gap_weight=2.0),
        motion=dict(loss_weight=0.006)))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb16-2000_synthtv-located-112/'
             'iter_2000.pth')
