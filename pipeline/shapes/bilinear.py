"""The pipeline of a search for algorithms: the plain one."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
