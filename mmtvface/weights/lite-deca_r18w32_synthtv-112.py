# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Inference config of the weights beside it.

Written by tools/publish_model.py; change the config that was trained:
configs/lite_deca/lite-deca_r18w32_1xb12-1800_synthtv-packaged-112.py
"""
custom_imports = dict(imports=[
    'mmtvface.engine',
])
default_scope = 'mmtvface'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=1))
log_level = 'INFO'
log_processor = dict(by_epoch=False, type='LogProcessor', window_size=100)
model = dict(
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(
        base_channels=32,
        depth=18,
        input_norm='imagenet',
        pool_size=4,
        propagation_channels=64,
        propagation_stage=2,
        type='LiteTemporalEncoder',
        with_landmarks=True),
    head=dict(type='procedural'),
    regressor=dict(
        code_scale=dict(
            cam=(
                0.5,
                0.02,
                0.02,
            ),
            exp=0.5,
            light=0.3,
            pose=(
                0.3,
                0.3,
                0.3,
                0.1,
                0.03,
                0.03,
            )),
        feedback=2,
        hidden_channels=512,
        landmark_uncertainty=True,
        shape_mode='confidence',
        type='FLAMEHead'),
    image_size=112,
    renderer=dict(type='MeshRenderer', uv_size=64),
    stage='coarse',
    texture=dict(size=64, type='FLAMETexture'),
    type='TemporalDECA')
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=8,
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        clip_length=20,
        data_root=None,
        difficulty='hard',
        split='test',
        test_mode=True,
        type='SynthTVDataset',
        with_vertices=True),
    num_workers=1,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = [
    dict(type='LandmarkNME'),
    dict(type='VertexError'),
    dict(type='Jitter'),
    dict(type='ShapeConstancy'),
    dict(type='MotionFidelity'),
    dict(type='IdentityGain'),
    dict(type='IdentityDrift'),
]
