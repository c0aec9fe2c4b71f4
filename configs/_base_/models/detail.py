# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""DECA's detail branch and losses, for configs that inherit a coarse stage.

VGG-19's weights for the ID-MRF loss are torchvision's; without them, train
with ``model.losses.mrf=None``.
"""
detail_branch = dict(
    type='DetailBranch',
    encoder=dict(type='ResNetEncoder', depth=50),
    regressor=dict(type='DetailHead', num_detail=128),
    decoder=dict(type='DetailDecoder', max_displacement=0.01),
    surface=dict(type='DetailSurface', size=256))
detail_losses = dict(
    photo_detail=dict(type='PhotoDetailLoss', loss_weight=2.0),
    mrf=dict(
        type='IDMRFLoss', loss_weight=2.0 * 0.05,
        weights='data/checkpoints/vgg19-dcbb9e9d.pth'),
    displacement_prior=dict(type='DisplacementPriorLoss', loss_weight=0.005),
    smoothness=dict(type='ShadingSmoothnessLoss', loss_weight=0.005),
    symmetry=dict(type='DetailSymmetryLoss', loss_weight=0.005))
