"""Stage 2 with the settings for a GPU, see docs/gpu.md.

The encoder runs in bfloat16, geometry and losses in float32; clips are
copied while the GPU works, and nothing is read from it between two logs.
"""
_base_ = './temporal-deca_r50_1xb2-coarse_face-clips.py'
model = dict(data_preprocessor=dict(
    type='FaceClipDataPreprocessor', non_blocking=True))
train_dataloader = dict(pin_memory=True)
optim_wrapper = dict(type='BFloat16OptimWrapper')
default_hooks = dict(
    runtime_info=dict(type='DeferredRuntimeInfoHook', interval=100))
custom_hooks = [
    dict(type='SafeCheckpointHook'),
    dict(type='RNGStateHook'),
    dict(type='SamplerPositionHook'),
    dict(type='FaceVisualizationHook', interval=50, max_clips=4),
    dict(type='SyncBuffersHook'),
    dict(type='ChannelsLastHook', parts=['encoder']),
]
env_cfg = dict(cudnn_benchmark=True)
