"""The pipeline of a classifier whose examples are weighed: the plain one; the policy is searched within the training."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
