"""The DAG of networks for faces: the plain line."""

from pipeline.shapes.line import create_pipeline

__all__ = ["create_pipeline"]
