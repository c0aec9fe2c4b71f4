# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Config of a training of seconds, with 4 clips per global step.

The encoder has no batch statistics, which are a process's own by design.
"""
default_scope = 'mmtvface'
custom_imports = dict(
    imports=['helpers.toy_reconstructor', 'toy_pooled_encoder'])
model = dict(
    type='TemporalDECA',
    encoder=dict(type='ToyPooledEncoder'),
    regressor=dict(type='FLAMEHead', layout=dict(shape=4, tex=3, exp=3),
              hidden_channels=16, init_cam=(8., 0., 0.), init_std=0.05),
    flame=dict(type='ToyFlame'),
    losses=dict(landmark=dict(type='LandmarkLoss', loss_weight=10.),
                shape_prior=dict(type='CodePriorLoss', name='shape')),
    image_size=32)
train_dataloader = dict(
    batch_size=4, num_workers=0,
    dataset=dict(type='ToyClips', length=8),
    sampler=dict(type='DefaultSampler', shuffle=True, seed=3))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9),
    clip_grad=dict(max_norm=1.))
# An odd number of clips: one process has to be given one twice.
test_dataloader = dict(
    batch_size=1, num_workers=0, dataset=dict(type='ToyClips', length=5),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = [dict(type='LandmarkNME'), dict(type='MotionFidelity')]
test_cfg = dict()
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False),
    logger=dict(type='LoggerHook', interval=1))
custom_hooks = [dict(type='SafeCheckpointHook'), dict(type='RNGStateHook'),
                dict(type='SyncBuffersHook')]
randomness = dict(seed=0)
