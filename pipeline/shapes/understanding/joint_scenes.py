"""The pipeline of a joint training on scenes: that of every joint training."""

from pipeline.shapes.understanding.joint import create_pipeline

__all__ = ["create_pipeline"]
