"""Stage 1 of the single-frame baseline, on the same clips."""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/deca_r50.py',
    '../_base_/datasets/face_clips.py',
    '../_base_/schedules/adam_100k.py',
]
