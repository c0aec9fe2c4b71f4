"""Second phase of the packaged model: crops of 112 pixels.

Its start are the weights of the first, at 64 pixels. To the losses of
the benchmark come those on the movement (the error may not jump from frame to
frame), on lids and lips, and the uncertainty of the landmarks.
"""
_base_ = './lite-deca_r18w32_1xb8-1k_synthtv-64.py'
image_size = 112
max_iters = 1500
model = dict(
    head=dict(landmark_uncertainty=True),
    renderer=dict(image_size=image_size),
    image_size=image_size,
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.02,
                    relative_to_target=True),
        eyes=dict(type='EyeClosureLoss', loss_weight=10.0),
        lips=dict(type='LipClosureLoss', loss_weight=5.0),
        uncertain=dict(type='UncertainLandmarkLoss', loss_weight=0.1)))
train_dataloader = dict(dataset=dict(image_size=image_size))
val_dataloader = dict(dataset=dict(image_size=image_size, clip_length=20))
test_dataloader = dict(dataset=dict(image_size=image_size, clip_length=20))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=3000, eta_min=1e-5,
         by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = 'work_dirs/lite-deca_r18w32_1xb8-1k_synthtv-64/iter_1000.pth'
