# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Stage 3, from the coarse model, which is frozen: displacement maps."""
_base_ = [
    './deca_r50_1xb2-coarse_face-clips.py',
    '../_base_/models/detail.py',
]
model = dict(
    stage='detail',
    shape_consistency=False,
    detail_consistency=True,
    detail=_base_.detail_branch,
    losses=dict(_delete_=True, **_base_.detail_losses))
optim_wrapper = dict(constructor='TrainableParametersConstructor')
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = 'work_dirs/deca_r50_1xb2-coarse_face-clips/iter_100000.pth'
