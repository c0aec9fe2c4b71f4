"""NoW: writes neutral meshes and landmarks, measured by tools/now_evaluate.py.

``test_dataloader.dataset.split=test`` takes the images of the test set.
"""
image_size = 224
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='NoWDataset',
        data_root='data/now',
        split='val',
        image_size=image_size,
        scale=1.6))
test_evaluator = [dict(type='NeutralMeshExport', out_dir='work_dirs/now')]
test_cfg = dict(type='TestLoop')
