"""The pipeline of a dictionary: the plain one."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
