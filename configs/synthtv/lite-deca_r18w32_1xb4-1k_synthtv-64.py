"""The lite temporal encoder: an adapter on the trained single-frame encoder.

It starts as the single-frame model; since it starts at zero, it takes larger
steps than the rest. The loss on the motion compares the accelerations of
the vertices with the true ones.
"""
_base_ = './deca_r18w32-more_1xb4-1k_synthtv-64.py'
model = dict(
    encoder=dict(
        type='LiteTemporalEncoder', propagation_stage=4,
        propagation_channels=64),
    regressor=dict(shape_mode='confidence'),
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.005,
                    relative_to_target=True)))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'encoder.temporal': dict(lr_mult=5.)}))
