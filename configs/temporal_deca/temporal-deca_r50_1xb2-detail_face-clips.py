# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Stage 3, from the coarse model, which is frozen: displacement maps.

The detail encoder takes the flows that the coarse one computes; SPyNet's
weights come with those of the coarse stage. The displacement is bound to a
millimetre, a tenth of DECA's.
"""
_base_ = [
    './temporal-deca_r50_1xb2-coarse_face-clips.py',
    '../_base_/models/detail.py',
]
encoder = {**_base_.model.encoder, 'spynet_pretrained': None}
model = dict(
    stage='detail',
    shape_consistency=False,
    detail_consistency=True,
    encoder=encoder,
    detail={
        **_base_.detail_branch, 'encoder': {**encoder, 'with_flow': 'given'},
        'decoder': dict(type='DetailDecoder', max_displacement=0.001)},
    losses=dict(_delete_=True, **_base_.detail_losses))
optim_wrapper = dict(constructor='TrainableParametersConstructor')
# Landmarks do not change any more.
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = ('work_dirs/temporal-deca_r50_1xb2-coarse_face-clips/'
             'iter_100000.pth')
