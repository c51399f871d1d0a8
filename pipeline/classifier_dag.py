"""The pipeline of a classifier: the plain one."""

from pipeline.dag import create_pipeline

__all__ = ["create_pipeline"]
