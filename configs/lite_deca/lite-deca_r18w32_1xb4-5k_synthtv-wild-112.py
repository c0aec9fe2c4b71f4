"""The small model that is part of the package; last of four phases.

Crops are taken as footage gives them: heads tilted in the frame, faces cut by
its border, unsteady boxes, other zooms. The loss on the movement is weaker,
since a strong one closes mouths.
"""
_base_ = './lite-deca_r18w32_1xb4-1200_synthtv-looks-112.py'
max_iters = 5000
model = dict(losses=dict(motion=dict(loss_weight=0.005)))
train_dataloader = dict(dataset=dict(reframe=True))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb4-1200_synthtv-looks-112/'
             'iter_1200.pth')
