# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reconstruct the face in an image, a folder, a clip folder or a video.

Examples::

    mmtvface reconstruct video.mp4 --out work_dirs/video
    mmtvface reconstruct CONFIG CHECKPOINT video.mp4
    mmtvface reconstruct video.mp4 --restore RESTORER.py RESTORER.pth
"""

import argparse
import shutil
import sys

from .number_arguments import natural, positive
from .shared import add_model, add_reading, check_model, step_bars

EPILOG = """\
input: an image, a folder of images, a clip folder (jpg/, optionally
kpt/<name>_kpt2d.npy and serial.npy) or a video.

kinds of output (--save), in the output folder:
  obj             meshes/<frame>.obj with .mtl, texture and normal map
  dense           dense/<frame>.ply and .obj: the detail as a coloured mesh
  codes           codes.npz: codes, cameras and landmarks of all frames
  mat             mat/<frame>.mat: everything known of a frame, for MATLAB
  flame_npz       flame_npz/track<id>.npz: FLAME's parameters (shape 300,
                  expr 100, poses) and cameras of each face, for avatar
                  trainers and add-ons
  glb             glb/track<id>.glb: each face as one animated glTF head
                  (morph targets, joints, texture)
  landmarks       landmarks/<frame>_kpt2d and _kpt3d, .txt and .npy, with
                  visibility, in pixels of the frame
  overlay         grey mesh over the image
  detail_overlay  the same with detail
  rendered        albedo and light over the image
  albedo          colours without light
  normals         RGB = 255 (n + 1) / 2; x right, y up, z to the camera
  depth           16 bit: (value - 32768) / 100 mm towards the camera from
                  the head's origin, 0 where there is no head; *_view/ has
                  pictures for the eye
  grid            overlay_grid.png: all of these for some frames
  video           overlay.mp4: the overlays of all frames; videos have the
                  times and the sound of the input
  detail_video    detail_overlay.mp4
  comparison_video  side_by_side.mp4: input, landmarks, mesh, detail, normals
Pictures are <kind>/frame/<frame>.png at the size of the frame and
<kind>/crop/<frame>.png at that of the model's crop. metrics.json is always
written. albedo and rendered need a model with an albedo model; dense and
detail_* one with a detail branch; glb one with a FLAME head."""
KINDS = ('obj', 'dense', 'codes', 'mat', 'flame_npz', 'glb', 'landmarks',
         'overlay', 'detail_overlay', 'rendered', 'albedo', 'normals',
         'depth', 'grid', 'video', 'detail_video', 'comparison_video')
DEFAULT_KINDS = ('obj', 'codes', 'grid', 'video')
SMOOTHERS = ('one-euro', 'savgol')
FACES = ('main', 'all')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Reconstruct animatable 3D faces.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument('input', help='image, folder, clip folder or video')
    parser.add_argument('--out', default='work_dirs/reconstruct',
                        help='output folder (default: %(default)s)')
    parser.add_argument('--save', nargs='+', choices=KINDS, metavar='KIND',
                        default=list(DEFAULT_KINDS),
                        help='what to write, see below (default: '
                        f'{" ".join(DEFAULT_KINDS)})')
    parser.add_argument('--texture-size', type=positive(int), default=512,
                        help='side of the textures of meshes in texels '
                        '(default: %(default)s)')
    add_reading(parser)
    parser.add_argument('--restore', nargs=2,
                        metavar=('CONFIG', 'CHECKPOINT'),
                        help='video restorer of mmagic (config file, or '
                        'mmagic:: and its path in mmagic/configs) that the '
                        'crops of the faces go through first; for faces of '
                        'less than some 64 pixels or bad quality')
    parser.add_argument('--batch-size', type=positive(int), default=1,
                        help='clips at once (default: %(default)s)')
    parser.add_argument('--fps', type=positive(float),
                        help='frames per second, for filters and videos '
                        '(default: as the input, or 25)')
    parser.add_argument('--independent', action='store_true',
                        help='the frames do not follow one another')
    parser.add_argument('--single-frame', action='store_true',
                        help='the model sees one frame at a time')
    parser.add_argument('--faces', choices=FACES, default=FACES[0],
                        help='main: one face per frame, which is followed as '
                        'long as it is in sight. all: every face; files of a '
                        'frame are named <frame>_track<id> (default: '
                        '%(default)s)')
    parser.add_argument('--fill-gaps', type=natural, default=0, metavar='N',
                        help='look for a face that is not found for up to N '
                        'frames between where it was and where it is '
                        'afterwards (default: such frames have no result)')
    parser.add_argument('--identity', choices=('track', 'frame'),
                        default='track', help='shape and albedo of each face: '
                        'one for all its frames, or as the model gives them '
                        '(default: %(default)s)')
    parser.add_argument('--smooth', choices=SMOOTHERS, help='filter the '
                        'motion; what it costs is in metrics.json')
    parser.add_argument('--resume', action='store_true',
                        help='go on where the same command was interrupted: '
                        'faces and codes are not found again')
    # The model may stand before the options and the input behind them.
    args = parser.parse_intermixed_args(arguments)
    check_model(parser, args, 'give CONFIG CHECKPOINT INPUT, or INPUT alone '
                'for the model of the package')
    if args.single_frame and args.clip_length not in (None, 1):
        parser.error('--single-frame means --clip-length 1.')
    if args.single_frame:
        args.clip_length = 1
    return args


def reconstruct(args: argparse.Namespace) -> dict:
    """Run the reconstruction with progress bars; return what was saved."""
    from mmtvface.export.save import save_results
    from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
    from mmtvface.tracking.frame_source import open_frames
    from mmtvface.utils.atomic import writable_dir

    # No folder is made for an input that is not there, and no model is built
    # for a folder that cannot be written to.
    source = open_frames(args.input)
    resume = writable_dir(args.out) / '.resume'
    if args.fps:
        source.fps = args.fps
    reconstructor = FaceReconstructor(
        args.config, args.checkpoint, args.device,
        clip_length=args.clip_length, overlap=args.overlap,
        crop_scale=args.crop_scale, batch_size=args.batch_size,
        faces=args.faces, fill_gaps=args.fill_gaps, detector=args.detector,
        identity=args.identity, refine=args.refine, smooth=args.smooth,
        restore=args.restore)
    painter = reconstructor.build_painter(args.texture_size)
    if not args.resume:
        shutil.rmtree(resume, ignore_errors=True)
    with step_bars() as show:
        results = reconstructor(source, independent=args.independent,
                                progress=show, resume=resume)
        saved = save_results(results, source, args.out, painter, args.save,
                             notes=reconstructor.report)
    shutil.rmtree(resume, ignore_errors=True)
    return saved


def motion_line(motion: dict) -> str:
    """How the motion is followed, '' if nothing moves.

    Args:
        motion: Of ``metrics.json``.
    """
    from mmtvface.reconstruction.summary import MOTION_NAMES
    parts = []
    for name, found in motion.items():
        if found['amplitude'] is None:
            continue
        start, middle = ((' follows with ', ' of its amplitude (correlation ')
                         if not parts else (' with ', ' ('))
        parts.append(f'{MOTION_NAMES[name]}{start}{found["amplitude"]:.2f}'
                     f'{middle}{found["correlation"]:.2f})')
    return f'motion: {", ".join(parts)}' if parts else ''


def summary(saved: dict) -> str:
    """Lines that say what was made and where."""
    lines = [f'Reconstructed {saved["frames_reconstructed"]} of '
             f'{saved["frames"]} frames ({saved["num_tracks"]} face tracks).']
    for status, names in saved['skipped'].items():
        shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
        lines.append(f'  skipped, {status}: {len(names)} ({shown})')
    if nme := saved['landmark_nme']:
        lines.append(
            f'  landmarks: mean error {100 * nme["mean"]:.2f} % of the '
            f'landmark box, to those {nme["reference"]}')
    if line := motion_line(saved['motion']):
        lines.append(f'  {line}')
    for step in ('refinement', 'smoothing'):
        if statistics := saved.get(step):
            shown = ', '.join(f'{name} {value:.3g}'
                              for name, value in statistics.items())
            lines.append(f'  {step}: {shown}')
    lines += [f'  {kind + ":":<15} {path}'
              for kind, path in saved['files'].items()]
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(summary(reconstruct(args)))

    return run_command(work, 'Interrupted; what was written before is in '
                       f'{args.out}, and --resume goes on from there.')
