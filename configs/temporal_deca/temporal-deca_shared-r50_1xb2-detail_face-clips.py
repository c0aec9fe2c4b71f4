"""Stage 3 on the coarse model's trunk: one propagation for both codes."""
_base_ = './temporal-deca_r50_1xb2-detail_face-clips.py'
model = dict(
    detail=dict(
        encoder=dict(_delete_=True, type='SharedTrunkEncoder', depth=50)))
