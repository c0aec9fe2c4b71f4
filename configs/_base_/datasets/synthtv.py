"""SynthTV: talking heads as on television, from folder or on the fly.

``python tools/synthtv.py generate --out data/synthtv`` renders the clean
scenes once; with ``data_root=None`` the same ones are rendered on the fly.
"""
dataset = dict(type='SynthTVDataset', data_root='data/synthtv')
loader = dict(
    batch_size=8, num_workers=1, persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'))
# Every pass over the 4000 scenes has windows and degradations of its own.
train_dataloader = dict(
    **loader,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dataset, split='train', difficulty='mixed',
                 clip_length=5, num_clips=400000))
val_dataloader = dict(
    **loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='val', difficulty='hard',
                 clip_length=None, with_vertices=True, test_mode=True))
test_dataloader = dict(
    **loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', difficulty='hard',
                 clip_length=None, with_vertices=True, test_mode=True))
val_evaluator = [
    dict(type='LandmarkNME'), dict(type='VertexError'), dict(type='Jitter'),
    dict(type='ShapeConstancy'), dict(type='MotionFidelity'),
    dict(type='IdentityGain')]
test_evaluator = [*val_evaluator, dict(type='IdentityDrift')]
