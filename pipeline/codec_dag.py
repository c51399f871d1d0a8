"""The pipeline of a codec: the plain one."""

from pipeline.dag import create_pipeline

__all__ = ["create_pipeline"]
