"""Endless rendered talking heads; nobody is in two of the three splits."""
dataset = dict(type='SyntheticFaceClipDataset')
loader = dict(
    batch_size=8, num_workers=1, persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'))
train_dataloader = dict(
    **loader,
    sampler=dict(type='InfiniteSampler', shuffle=False),
    dataset=dict(**dataset, split='train', clip_length=3,
                 num_clips=100000, num_identities=100000))
val_dataloader = dict(
    **loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='val', clip_length=5, num_clips=16,
                 num_identities=16, test_mode=True))
test_dataloader = dict(
    **loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', clip_length=5, num_clips=32,
                 num_identities=32, test_mode=True))
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='VertexError'), dict(type='Jitter'),
    dict(type='ShapeConstancy'), dict(type='MotionFidelity'),
    dict(type='IdentityGain')]
test_evaluator = [*val_evaluator, dict(type='IdentityDrift')]
