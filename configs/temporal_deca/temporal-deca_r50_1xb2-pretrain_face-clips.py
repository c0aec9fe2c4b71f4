"""Stage 1 of the temporal model at full size."""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/temporal_deca_r50.py',
    '../_base_/datasets/face_clips.py',
    '../_base_/schedules/adam_100k.py',
]
