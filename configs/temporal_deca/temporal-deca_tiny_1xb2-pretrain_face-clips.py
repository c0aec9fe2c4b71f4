"""The small model on real clips, stage 1: landmarks and priors.

It starts from the quickstart's model, which learned on synthetic clips. The
priors weigh a tenth of the published ones, which hold the identity of the
built-in head so close to its mean that the contour stays off the face.
"""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/temporal_deca_tiny.py',
    '../_base_/datasets/face_clips.py',
    '../_base_/schedules/adam_100k.py',
]
model = dict(
    losses=dict(
        _delete_=True,
        landmark=dict(type='LandmarkLoss', loss_weight=1.0),
        eye_closure=dict(type='EyeClosureLoss', loss_weight=1.0),
        lip_closure=dict(type='LipClosureLoss', loss_weight=0.5),
        shape_prior=dict(type='CodePriorLoss', name='shape',
                         loss_weight=1e-5),
        exp_prior=dict(type='CodePriorLoss', name='exp', loss_weight=1e-5)))
# Crops as the reconstruction of a video makes them.
train_pipeline = [
    dict(type='LoadFaceClip', crop_scale=1.4),
    dict(type='CropFaceClip', scale=(1.4, 1.8), mode='smooth'),
    dict(type='PackFaceClip'),
]
val_pipeline = [
    dict(type='LoadFaceClip', strict=True, crop_scale=1.6),
    dict(type='CropFaceClip', scale=1.6, random=False, mode='smooth'),
    dict(type='PackFaceClip'),
]
train_dataloader = dict(num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='Jitter'),
    dict(type='ShapeConstancy'), dict(type='MotionFidelity')]
test_evaluator = [*val_evaluator, dict(type='IdentityDrift')]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=400, eta_min=1e-6, by_epoch=False)
train_cfg = dict(max_iters=400, val_interval=400)
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=200))
load_from = 'work_dirs/quickstart/train/iter_700.pth'
