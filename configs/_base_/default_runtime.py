"""Runtime shared by all configs: hooks, logging, checkpoints, seeds."""
default_scope = 'mmtvface'
custom_imports = dict(imports=['mmtvface.engine'])

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=5000, by_epoch=False,
        max_keep_ckpts=3, save_best='landmark/nme', rule='less'),
    sampler_seed=dict(type='DistSamplerSeedHook'))
# The first three make a resumed run equal to an uninterrupted one: one keeps
# the checkpoint loadable without executing pickled code, one stores the
# random states, one sets a sampler that counts its draws to its place (with
# others, all earlier batches are loaded again). The fourth draws up to four
# clips of every validation or test, one batch in fifty, into
# work_dir/visualization. The last averages the running statistics of batch
# norm over the processes, before a validation and at the end of the training;
# a single process has nothing to average.
custom_hooks = [
    dict(type='SafeCheckpointHook'),
    dict(type='RNGStateHook'),
    dict(type='SamplerPositionHook'),
    dict(type='FaceVisualizationHook', interval=50, max_clips=4),
    dict(type='SyncBuffersHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=1),
    dist_cfg=dict(backend='nccl'))

vis_backends = [
    dict(type='LocalVisBackend'),
    dict(type='TensorboardVisBackend'),
]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(type='LogProcessor', window_size=100, by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
