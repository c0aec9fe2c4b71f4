"""Rendered talking heads whose skin folds; nobody is in two splits.

Old skin: wrinkles up to some 4 mm deep, mostly there without expression. So
that minutes suffice to learn them, they run along the same lines in all
people; their depth and what a neutral face keeps are each person's own. Lively
faces, heads turned up to 16 degrees.
"""
dataset = dict(
    type='SyntheticFaceClipDataset', detail_size=128,
    wrinkles=dict(depth=5., age=(.7, 1.), rest=.8, limit=4., courses=1),
    occluder_prob=0.05,
    performance=dict(
        expressions_per_clip=12., pose_scale=.4, shape_scale=.8))
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
    dict(type='LandmarkNME'), dict(type='VertexError'),
    dict(type='MotionFidelity'), dict(type='IdentityGain')]
test_evaluator = val_evaluator
