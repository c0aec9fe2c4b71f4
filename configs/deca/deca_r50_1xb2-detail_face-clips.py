"""Stage 3, from the coarse model, which is frozen: displacement maps."""
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/deca_r50_detail.py',
    '../_base_/datasets/face_clips.py',
    '../_base_/schedules/adam_100k.py',
]
optim_wrapper = dict(constructor='TrainableParametersConstructor')
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = 'work_dirs/deca_r50_1xb2-coarse_face-clips/iter_100000.pth'
