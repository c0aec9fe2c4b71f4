"""BasicVSR++ x4 and the encoder trained together by the coarse losses.

It goes on from the frozen restorer. Nothing but the reconstruction tells the
restorer what to do: pictures it makes later are for the encoder, not the eye.
"""
_base_ = './temporal-deca_basicvsrpp-r50_1xb2-coarse_face-clips-64.py'
model = dict(encoder=dict(freeze_restorer=False))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'encoder.restorer': dict(lr_mult=0.1)}))
load_from = ('work_dirs/temporal-deca_basicvsrpp-r50_1xb2-coarse_'
             'face-clips-64/iter_100000.pth')
