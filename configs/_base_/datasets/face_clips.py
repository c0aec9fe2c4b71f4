"""Clips in folders: ``<id>/jpg``, ``<id>/kpt``, ``<id>/seg/masks``."""
clip_length = 5
train_pipeline = [
    dict(type='LoadFaceClip', crop_scale=1.4),
    dict(type='CropFaceClip', scale=(1.4, 1.8)),
    dict(type='PackFaceClip'),
]
val_pipeline = [
    dict(type='LoadFaceClip', strict=True, crop_scale=1.6),
    dict(type='CropFaceClip', scale=1.6, random=False),
    dict(type='PackFaceClip'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='FaceClipDataset',
        data_root='data/face_clips/train',
        clip_length=clip_length,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='FaceClipDataset',
        data_root='data/face_clips/val',
        clip_length=clip_length,
        pipeline=val_pipeline,
        test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='Jitter'),
    dict(type='MotionFidelity')]
test_evaluator = [*val_evaluator, dict(type='IdentityDrift')]
