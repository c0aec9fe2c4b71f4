"""VGGFace2: five images of one person per item, no video.

Only for models that see single frames. Without landmarks the set cannot be
read: see README.md in this folder. Validates on ``data/face_clips/val``.
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
        type='VGGFace2Dataset',
        data_root='data/vggface2',
        image_dir='train',
        clip_length=_base_.clip_length,
        missing_mask='hull',
        pipeline=train_pipeline))
