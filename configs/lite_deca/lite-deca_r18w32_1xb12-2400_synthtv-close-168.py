"""The packaged model, trained on with close looks; not packaged yet.

Mouth and eyes are looked at in the pixels of larger crops; the rest goes on
with crops of 112 pixels.
"""
_base_ = './lite-deca_r18w32_1xb12-1800_synthtv-packaged-112.py'
max_iters = 2400
model = dict(
    encoder=dict(close_looks=1.5, alone=0.5),
    image_size=168,
    losses=dict(first=dict(
        type='LocatedLandmarkLoss', loss_weight=20.0,
        source='located_first')))
# What is new learns faster than what is known.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    'encoder.locator.looks': dict(lr_mult=4.)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb12-1800_synthtv-packaged-112/'
             'iter_1800.pth')
