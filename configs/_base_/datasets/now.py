"""NoW: writes neutral meshes and landmarks, measured by tools/now_evaluate.py.

``test_dataloader.dataset.split=test`` takes the images of the test set.
"""
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='NoWDataset',
        data_root='data/now',
        split='val',
        scale=1.6))
test_evaluator = [dict(type='NeutralMeshExport', out_dir='work_dirs/now')]
test_cfg = dict(type='TestLoop')
