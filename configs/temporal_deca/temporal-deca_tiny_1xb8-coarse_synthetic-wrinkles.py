"""Stage 2 of the small chain: images too."""
_base_ = './temporal-deca_tiny_1xb8-pretrain_synthetic-wrinkles.py'
max_iters = 200
model = dict(
    losses=dict(
        photometric=dict(type='PhotometricLoss', loss_weight=2.0),
        eye_closure=dict(type='EyeClosureLoss', loss_weight=1.0),
        lip_closure=dict(type='LipClosureLoss', loss_weight=0.5),
        light_prior=dict(type='LightPriorLoss', loss_weight=0.1)))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-5,
    by_epoch=False)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
load_from = ('work_dirs/temporal-deca_tiny_1xb8-pretrain_synthetic-wrinkles/'
             'iter_700.pth')
