"""VoxCeleb2: windows of five frames of one utterance, every person alike.

The videos must be frames with landmarks: see README.md in this folder.
Validates on ``data/face_clips/val``.
"""
_base_ = './face_clips.py'
train_pipeline = [
    dict(type='LoadFaceClip', crop_scale=1.4),
    dict(type='CropFaceClip', scale=(1.4, 1.8)),
    dict(type='MirrorClip', prob=.5),
    dict(type='PackFaceClip'),
]
train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='BalancedClipSampler', balance='identity'),
    dataset=dict(
        _delete_=True,
        type='VoxCeleb2Dataset',
        data_root='data/voxceleb2/dev',
        clip_length=_base_.clip_length,
        jitter_time=2,
        missing_mask='hull',
        pipeline=train_pipeline))
