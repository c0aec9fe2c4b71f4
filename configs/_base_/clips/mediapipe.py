"""Clips from videos with what is installed: MediaPipe and its outline."""
settings = dict(backend='mediapipe', masks='outline')
