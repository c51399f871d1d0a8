"""Endings of the files that clips are looked for in."""

CONTAINERS = (".mp4", ".m4v", ".mkv", ".mov", ".webm", ".y4m", ".avi", ".ts")
RAW = ".yuv"
EXTENSIONS = (*CONTAINERS, RAW)
