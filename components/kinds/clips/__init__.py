"""Clips: files of video, folders of frames and raw YUV, as short runs of frames."""
