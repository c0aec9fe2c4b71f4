"""First of three: one level in the place of all, on shifted frames."""
_base_ = [
    '../_base_/datasets/synthtv_flow.py',
    '../_base_/schedules/spynet_500.py',
]
model = dict(type='SPyNetFlow', shared_level=True)
train_dataloader = dict(dataset=dict(shifted=1.0))
