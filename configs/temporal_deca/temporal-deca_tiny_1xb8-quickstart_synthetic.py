"""Small temporal model on synthetic clips: minutes on two CPU cores.

The full truth of the synthetic clips supervises codes and vertices, so that
a useful model exists before a real frame is seen. Without SPyNet weights the
alignment starts from zero flow.
"""
_base_ = ['../_base_/default_runtime.py']
clip_length = 5
image_size = 128
model = dict(
    type='TemporalDECA',
    stage='coarse',
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(
        type='TemporalResNet', mid_channels=16, depth=18, base_channels=32,
        num_blocks=1, num_extra_blocks=1, propagation_stride=4,
        norm_cfg=dict(type='BN'), deform_groups=2, with_flow=False),
    head=dict(type='FLAMEHead', in_channels=256, hidden_channels=512,
              shape_mode='clip'),
    flame=dict(type='FLAME', model_path='procedural'),
    texture=dict(type='FLAMETexture', path='procedural', size=128),
    renderer=dict(type='MeshRenderer', topology='procedural',
                  image_size=image_size, uv_size=128),
    shape_consistency=False,
    losses=dict(
        landmark=dict(type='LandmarkLoss', loss_weight=10.0),
        vertex=dict(type='VertexLoss', loss_weight=0.2),
        code=dict(type='CodeLoss', loss_weight=1.0)))
