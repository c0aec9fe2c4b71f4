"""Fourth phase of the packaged model: landmarks, and who it is.

On clean crops again, the encoder learns to locate landmarks, and the head to
correct codes by what they miss of them ("Who somebody is" in the README
beside this file).
"""
_base_ = './lite-deca_r18w32_1xb16-1500_synthtv-lively-112.py'
max_iters = 2000
model = dict(
    encoder=dict(with_landmarks=True),
    regressor=dict(feedback=2),
    losses=dict(
        landmark=dict(loss_weight=20.0),
        person=dict(loss_weight=8.0),
        located=dict(type='LocatedLandmarkLoss', loss_weight=20.0)))
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb12-1100_synthtv-steady-112/'
             'iter_1100.pth')
