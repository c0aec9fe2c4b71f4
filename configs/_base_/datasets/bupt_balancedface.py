"""BUPT-Balancedface: five images of one person per item, no video.

Only for models that see single frames. Without landmarks the set cannot be
read: see README.md in this folder. Validates on ``data/face_clips/val``.
"""
_base_ = './face_clips.py'
train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='BalancedClipSampler', balance='identity'),
    dataset=dict(
        _delete_=True,
        type='BUPTDataset',
        data_root='data/bupt_balancedface',
        image_dir='race_per_7000',
        clip_length=_base_.clip_length,
        image_size=_base_.image_size,
        scale=(1.4, 1.8),
        missing_mask='hull',
        mirror_prob=.5))
