"""AFLW2000-3D: 68 landmarks by yaw, in percent of the root of the box's area.

The landmarks are those of a 3D model, hidden ones included.
"""
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='AFLW2000Dataset',
        data_root='data/AFLW2000',
        scale=1.6))
test_evaluator = [
    dict(type='LandmarkNME', source='pred_landmarks3d',
         normalizer='box_area', yaw_bins=(0, 30, 60, 90),
         yaw_source='truth')]
test_cfg = dict(type='TestLoop')
