"""Scenes: pictures with a label map each."""
