"""DECA's single-frame model (Feng et al., SIGGRAPH 2021), first stage.

Landmarks and priors align an average face with the images; the coarse
configs add the losses on images.

The built-in head is the default. With the licensed FLAME files, set
``model_path``, ``landmark_embedding_path``, the texture ``path`` and the
renderer's ``topology`` (see the README).
"""
model = dict(
    type='TemporalDECA',
    stage='coarse',
    data_preprocessor=dict(type='FaceClipDataPreprocessor'),
    encoder=dict(type='ResNetEncoder', depth=50),
    head=dict(type='FLAMEHead', in_channels=2048),
    flame=dict(
        type='FLAME', model_path='procedural', num_shape=100,
        num_expression=50),
    texture=dict(
        type='FLAMETexture', path='procedural', num_components=50, size=256),
    renderer=dict(
        type='MeshRenderer', topology='procedural', image_size=224,
        uv_size=256),
    shape_consistency=False,
    losses=dict(
        landmark=dict(type='LandmarkLoss', loss_weight=1.0),
        eye_closure=dict(type='EyeClosureLoss', loss_weight=1.0),
        lip_closure=dict(type='LipClosureLoss', loss_weight=0.5),
        shape_prior=dict(type='CodePriorLoss', name='shape',
                         loss_weight=1e-4),
        exp_prior=dict(type='CodePriorLoss', name='exp', loss_weight=1e-4)))
