"""mmagic's BasicVSR++ x4 on faces, with the normals of their FLAME heads.

A config of mmagic (its runner, scope and datasets), whose input has 3 + 3
channels. Flips and transpositions are left out: they would turn the normals.
"""
_base_ = 'mmagic::basicvsr_pp/basicvsr-pp_c64n7_8xb1-600k_reds4.py'
custom_imports = dict(
    imports=['mmtvface.models', 'mmtvface.datasets'],
    allow_failed_imports=False)
experiment_name = 'basicvsr-pp_flame-normals_1xb2-100k_face-frames'
work_dir = f'./work_dirs/{experiment_name}'
data_root = 'data/face_frames'
codes = f'{data_root}/codes/{{clip}}/codes.npz'

model = dict(
    generator=dict(
        _delete_=True,
        type='mmtvface.ConditionedRestorer',
        restorer=dict(
            type='mmagic.BasicVSRPlusPlusNet', mid_channels=64, num_blocks=7),
        restorer_pretrained='data/checkpoints/basicvsr_plusplus_x4.pth'),
    train_cfg=dict(fix_iter=0),
    # one number for images of three and of six channels
    data_preprocessor=dict(mean=[0.], std=[255.]))

load = [
    dict(type='GenerateSegmentIndices', interval_list=[1]),
    dict(type='LoadImageFromFile', key='img', channel_order='rgb'),
    dict(type='LoadImageFromFile', key='gt', channel_order='rgb'),
    dict(type='mmtvface.AddFlameCondition', codes=codes, maps=['normals'])]
dataset = dict(
    type='BasicFramesDataset', metainfo=dict(task_name='vsr'), depth=1,
    num_input_frames=15)
train_dataloader = dict(num_workers=2, batch_size=2, dataset=dict(
    _delete_=True, **dataset, data_root=data_root,
    data_prefix=dict(img='train/lq', gt='train/gt'), pipeline=[
        *load, dict(type='SetValues', dictionary=dict(scale=4)),
        dict(type='PairedRandomCrop', gt_patch_size=256),
        dict(type='PackInputs')]))
loader = dict(
    num_workers=1, batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, data_root=data_root,
                 data_prefix=dict(img='val/lq', gt='val/gt'),
                 pipeline=[*load, dict(type='PackInputs')]))
val_dataloader = dict(_delete_=True, **loader)
test_dataloader = [loader]
test_evaluator = [[dict(type='PSNR'), dict(type='SSIM')]]
train_cfg = dict(max_iters=100_000)
param_scheduler = dict(periods=[100_000])
visualizer = dict(img_keys=['gt_img', 'pred_img'])  # the input has 6 channels
