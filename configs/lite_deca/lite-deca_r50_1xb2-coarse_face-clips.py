"""The lite encoder at full size: DECA's ResNet-50 with a temporal adapter.

It starts from a trained single-frame model, whose codes it gives at first.
The identity is one for the clip; smooth motion is asked for, since there is
no true one to compare with.
"""
_base_ = '../deca/deca_r50_1xb2-coarse_face-clips.py'
model = dict(
    encoder=dict(type='LiteTemporalEncoder', propagation_stage=2,
                 propagation_channels=256),
    regressor=dict(shape_mode='confidence'),
    shape_consistency=False,
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=1e-3)))
train_dataloader = dict(dataset=dict(clip_length=5))
load_from = 'work_dirs/deca_r50_1xb2-coarse_face-clips/iter_100000.pth'
