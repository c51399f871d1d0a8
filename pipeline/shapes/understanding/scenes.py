"""The pipeline of a segmenter of scenes: that of what learns from codes."""

from pipeline.shapes.understanding.codes import create_pipeline

__all__ = ["create_pipeline"]
