"""Clips in folders: ``<id>/jpg``, ``<id>/kpt``, ``<id>/seg/masks``."""
clip_length = 5
image_size = 224
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
        image_size=image_size,
        scale=(1.4, 1.8)))
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
        image_size=image_size,
        scale=1.6,
        test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='Jitter'),
    dict(type='MotionFidelity')]
test_evaluator = [*val_evaluator, dict(type='IdentityDrift')]
