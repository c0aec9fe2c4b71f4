"""Clips of 5 frames, 8 of them: as many frames as 4 of 10."""
_base_ = './lite-deca_r18w32_1xb4-1k_synthtv-64.py'
train_dataloader = dict(batch_size=8, dataset=dict(clip_length=5))
