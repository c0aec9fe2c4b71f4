"""The single-frame encoder with the loss on the motion: loss or network?"""
_base_ = './deca_r18w32-more_1xb4-1k_synthtv-64.py'
model = dict(
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.005,
                    relative_to_target=True)))
