"""Clips as the published training data was made: S3FD, FAN and BiSeNet.

Needs the packages face-alignment and facexlib and their weights in
data/checkpoints; a GPU is advisable.
"""
settings = dict(
    backend='face-alignment',
    backend_options=dict(weights='data/checkpoints/face_alignment'),
    masks='parsing',
    parsing_weights='data/checkpoints/parsing_bisenet.pth')
