"""The lite encoder with the losses on movement, lids, lips and uncertainty."""
_base_ = './lite-deca_r18w32_1xb8-1k_synthtv-64.py'
model = dict(
    head=dict(landmark_uncertainty=True),
    losses=dict(
        motion=dict(type='TemporalSmoothnessLoss', loss_weight=0.02,
                    relative_to_target=True),
        eyes=dict(type='EyeClosureLoss', loss_weight=10.0),
        lips=dict(type='LipClosureLoss', loss_weight=5.0),
        uncertain=dict(type='UncertainLandmarkLoss', loss_weight=0.1)))
