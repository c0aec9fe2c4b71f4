# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Stage 3 of the lite model: detail codes from the maps behind the adapter."""
_base_ = [
    './lite-deca_r50_1xb2-coarse_face-clips.py',
    '../_base_/models/detail.py',
]
model = dict(
    stage='detail',
    detail_consistency=True,
    detail={**_base_.detail_branch,
            'encoder': dict(type='SharedTrunkEncoder', depth=50)},
    losses=dict(_delete_=True, **_base_.detail_losses))
optim_wrapper = dict(constructor='TrainableParametersConstructor')
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = 'work_dirs/lite-deca_r50_1xb2-coarse_face-clips/iter_100000.pth'
