"""The small model that is part of the package; last of six phases.

Half of the clips are clean: on bad pictures alone, what good ones would show
is answered with the mean. The gaps of eyelids and lips are looked at in the
landmarks, too.
"""
_base_ = './lite-deca_r18w32_1xb12-2000_synthtv-located-wild-112.py'
max_iters = 1800
bad = _base_.train_dataloader.dataset
train_dataloader = dict(dataset=dict(
    _delete_=True, type='ConcatDataset', datasets=[
        {**bad, 'difficulty': 'easy', 'vary_appearance': 0.,
         'crop_jitter': False},
        bad]))
model = dict(losses=dict(located=dict(gap_weight=4.0)))
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb12-2000_synthtv-located-wild-112/'
             'iter_2000.pth')
