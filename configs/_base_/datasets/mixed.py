"""Clips of videos, VoxCeleb2, VGGFace2 and BUPT-Balancedface, by weights.

The weights are shares of the drawn clips, whatever the sizes of the sets are.
Two of the sets have no video: for models that see single frames. Leave a set
out by giving ``train_dataloader.dataset`` other lists in your config.
Validates on ``data/face_clips/val``.
"""
_base_ = './face_clips.py'
train_pipeline = [
    dict(type='LoadFaceClip', crop_scale=1.4),
    dict(type='CropFaceClip', scale=(1.4, 1.8)),
    dict(type='MirrorClip', prob=.5),
    dict(type='PackFaceClip'),
]
# All sets must have masks or none: 'hull' draws those that are missing.
common = dict(
    clip_length=_base_.clip_length, missing_mask='hull',
    pipeline=train_pipeline)
face_clips = dict(
    type='FaceClipDataset', data_root='data/face_clips/train', **common)
voxceleb2 = dict(
    type='VoxCeleb2Dataset', data_root='data/voxceleb2/dev', **common)
vggface2 = dict(
    type='VGGFace2Dataset', data_root='data/vggface2', **common)
bupt_balancedface = dict(
    type='BUPTDataset', data_root='data/bupt_balancedface', **common)
train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='BalancedClipSampler', balance='identity'),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[face_clips, voxceleb2, vggface2, bupt_balancedface],
        weights=[4, 3, 2, 1]))
