"""Clips of 10 frames, 4 of them: as many frames as 8 of 5."""
_base_ = './lite-deca_r18w32_1xb8-500_synthtv-64.py'
train_dataloader = dict(batch_size=4, dataset=dict(clip_length=10))
