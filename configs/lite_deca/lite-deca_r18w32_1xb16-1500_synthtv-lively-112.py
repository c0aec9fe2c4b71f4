"""First phase of the packaged model: clean crops of people who move.

What mouths, eyelids and people look like is learnt here, from nothing, on
easy pictures and before anything disturbs it. All losses on codes are squares
in units of the codes' spread: the optimum of linear ones is the median, and
that of most expressions is no expression ("Why mouths stood still" in the
README beside this file).
"""
_base_ = [
    '../_base_/models/synthtv_single.py',
    '../_base_/datasets/synthtv.py',
    '../_base_/schedules/synthtv_1k.py',
]
max_iters = 1500
model = dict(
    encoder=dict(
        type='LiteTemporalEncoder', propagation_stage=2,
        propagation_channels=64, pool_size=4),
    regressor=dict(
        shape_mode='confidence', landmark_uncertainty=True,
        code_scale=dict(
            pose=(0.3, 0.3, 0.3, 0.1, 0.03, 0.03), exp=0.5,
            cam=(0.5, 0.02, 0.02), light=0.3)),
    image_size=112,
    losses=dict(
        neutral=None,
        person=dict(type='NeutralLandmarkLoss', loss_weight=2.0),
        expression=dict(type='ExpressionLoss', loss_weight=1.0),
        uncertain=dict(type='UncertainLandmarkLoss', loss_weight=0.1),
        code=dict(
            norm='l2',
            weights=dict(shape=1., tex=.3, exp=.5, pose=1., cam=1., light=.3),
            spread=dict(pose=(.3, .4, .2, .08, .02, .02), exp=.35, tex=.6,
                        cam=(.9, .025, .03), light=.3))))
train_dataloader = dict(
    batch_size=16,
    dataset=dict(performance='lively', scene_length=8,
                 difficulty='easy'))
val_dataloader = dict(dataset=dict(data_root=None, clip_length=20))
test_dataloader = dict(dataset=dict(data_root=None, clip_length=20))
optim_wrapper = dict(type='BFloat16OptimWrapper', optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=3e-4,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=250))
custom_hooks = [*_base_.custom_hooks,
                dict(type='ChannelsLastHook', parts=['encoder'])]
