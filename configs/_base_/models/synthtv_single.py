"""DECA's single-frame encoder, narrow, for SynthTV: every frame on its own.

Everything the other models of the benchmark share is here: the width of the
residual network, the regressor, the head and the losses on the full truth.
"""
model = dict(
    type='TemporalDECA',
    stage='coarse',
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(
        type='ResNetEncoder', depth=18, base_channels=32,
        input_norm='imagenet', pool_size=2),
    head=dict(type='procedural'),
    regressor=dict(
        type='FLAMEHead', hidden_channels=512,
        code_scale=dict(pose=0.3, cam=(0.5, 0.02, 0.02), light=0.3)),
    texture=dict(type='FLAMETexture', size=64),
    renderer=dict(type='MeshRenderer', uv_size=64),
    image_size=64,
    losses=dict(
        landmark=dict(type='LandmarkLoss', loss_weight=10.0),
        vertex=dict(type='VertexLoss', loss_weight=0.2),
        neutral=dict(type='NeutralVertexLoss', loss_weight=0.5),
        code=dict(type='CodeLoss', loss_weight=1.0)))
