"""Stage 3 of the lite model: detail codes from the maps behind the adapter."""
_base_ = '../deca/deca_r50_1xb2-detail_face-clips.py'
model = dict(
    encoder=dict(type='LiteTemporalEncoder', propagation_stage=2,
                 propagation_channels=256),
    regressor=dict(shape_mode='confidence'),
    detail=dict(
        encoder=dict(_delete_=True, type='SharedTrunkEncoder', depth=50)))
load_from = 'work_dirs/lite-deca_r50_1xb2-coarse_face-clips/iter_100000.pth'
