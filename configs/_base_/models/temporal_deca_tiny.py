"""A small temporal model that trains on two CPU cores in minutes.

The full truth of synthetic clips supervises vertices and codes. Without
SPyNet weights the alignment starts from zero flow; the identity codes are
shared by the frames of a clip.
"""
model = dict(
    type='TemporalDECA',
    stage='coarse',
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(
        type='TemporalResNet', mid_channels=16, depth=18, base_channels=32,
        num_blocks=1, num_extra_blocks=1, propagation_stride=4,
        norm_cfg=dict(type='BN'), deform_groups=2,
        with_flow=False, input_norm='imagenet', pool_size=2),
    head=dict(type='procedural'),
    regressor=dict(
        type='FLAMEHead', hidden_channels=512, shape_mode='clip',
        code_scale=dict(pose=0.3, cam=(0.5, 0.02, 0.02), light=0.3)),
    texture=dict(type='FLAMETexture', size=64),
    renderer=dict(type='MeshRenderer', uv_size=64),
    image_size=64,
    losses=dict(
        landmark=dict(type='LandmarkLoss', loss_weight=10.0),
        vertex=dict(type='VertexLoss', loss_weight=0.2),
        code=dict(type='CodeLoss', loss_weight=1.0)))
