"""Second comparison: the lite temporal encoder on the long trained weights.

The adapter starts at zero, so it takes larger steps than the rest.
"""
_base_ = './deca_r18w32-long-more_1xb4-600_synthtv-64.py'
model = dict(
    encoder=dict(
        type='LiteTemporalEncoder', propagation_stage=4,
        propagation_channels=64),
    head=dict(shape_mode='confidence'),
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.005,
                    relative_to_target=True)))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'encoder.temporal': dict(lr_mult=5.)}))
