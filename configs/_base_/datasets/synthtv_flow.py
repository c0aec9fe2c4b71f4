"""Neighbouring frames of SynthTV with their true optical flow."""
pairs = dict(
    type='SynthTVFlowDataset', data_root='data/synthtv', image_size=64,
    stride=2)
loader = dict(
    num_workers=1, persistent_workers=True,
    collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    batch_size=4,
    **loader,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**pairs, split='train', difficulty='mixed', clip_length=3,
                 num_clips=400000, max_shift=4, mirrored=0.5))
val_dataloader = dict(
    batch_size=1,
    **loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ConcatDataset', datasets=[
        dict(**pairs, split='val', difficulty=level, clip_length=5,
             num_clips=100) for level in ('easy', 'medium', 'hard')]))
val_evaluator = dict(type='FlowError')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
