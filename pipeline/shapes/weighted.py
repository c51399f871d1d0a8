"""The pipeline of a classifier whose examples are weighed: the plain one; a search is a phase of the training."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
