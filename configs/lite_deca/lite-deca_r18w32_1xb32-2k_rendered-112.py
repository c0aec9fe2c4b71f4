"""The small model on clips that are rendered where it is trained: on a GPU.

The data set gives codes only; nothing is rendered on the CPU, and no picture
is copied. See ``ClipRenderer``.
"""
_base_ = './lite-deca_r18w32_1xb16-1500_synthtv-lively-112.py'
max_iters = 2000
model = dict(data_preprocessor=dict(
    _delete_=True, type='ClipRenderer', non_blocking=True,
    renderer=_base_.model.renderer,
    texture={**_base_.model.texture, 'size': 128}))
train_dataloader = dict(
    batch_size=32, num_workers=8, pin_memory=True,
    dataset=dict(
        _delete_=True, type='SyntheticFaceClipDataset', num_clips=1000000,
        num_identities=100000, clip_length=5, render=False,
        with_vertices=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=max_iters, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
