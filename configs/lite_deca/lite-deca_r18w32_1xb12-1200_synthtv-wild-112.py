"""Second phase of the packaged model: pictures as footage gives them.

Bad ones, people of random appearance, heads tilted in the frame, faces cut
by its border, unsteady boxes, other zooms.
Longer clips teach the adapter to remember, quick turns of the head when not
to.
"""
_base_ = './lite-deca_r18w32_1xb16-1500_synthtv-lively-112.py'
max_iters = 1200
model = dict(losses=dict(
    # Where pose and mouths are known, what remains is who it is.
    person=dict(loss_weight=6.0),
    code=dict(weights=dict(shape=2.)),
    motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.001,
                relative_to_target=True)))
train_dataloader = dict(
    batch_size=12,
    dataset=dict(clip_length=8, difficulty='mixed', vary_appearance=0.7,
                 crop_jitter=True))
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/lite-deca_r18w32_1xb16-1500_synthtv-lively-112/'
             'iter_1500.pth')
