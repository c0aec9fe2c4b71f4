"""Second of three: the whole network, half of the clips shifted."""
_base_ = [
    '../_base_/datasets/synthtv_flow.py',
    '../_base_/schedules/spynet_500.py',
]
model = dict(type='SPyNetFlow')
train_dataloader = dict(dataset=dict(shifted=0.5))
load_from = 'work_dirs/spynet_shared_1xb4-500_synthtv-64/iter_500.pth'
