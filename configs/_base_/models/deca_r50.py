"""DECA's single-frame model (Feng et al., SIGGRAPH 2021), first stage.

Landmarks and priors align an average face with the images; the coarse
configs add the losses on images.

The built-in head is the default; the licensed FLAME files are
``head=dict(type='flame', root='data/flame')`` (see data/README.md).
"""
model = dict(
    type='TemporalDECA',
    stage='coarse',
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(type='ResNetEncoder', depth=50),
    head=dict(type='procedural'),
    regressor=dict(type='FLAMEHead'),
    flame=dict(type='FLAME', num_shape=100, num_expression=50),
    texture=dict(type='FLAMETexture', num_components=50, size=256),
    renderer=dict(type='MeshRenderer', uv_size=256),
    image_size=224,
    shape_consistency=False,
    losses=dict(
        landmark=dict(type='LandmarkLoss', loss_weight=1.0),
        eye_closure=dict(type='EyeClosureLoss', loss_weight=1.0),
        lip_closure=dict(type='LipClosureLoss', loss_weight=0.5),
        shape_prior=dict(type='CodePriorLoss', name='shape',
                         loss_weight=1e-4),
        exp_prior=dict(type='CodePriorLoss', name='exp', loss_weight=1e-4)))
