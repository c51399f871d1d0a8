"""The pipeline of a codec of clips: the plain one."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
