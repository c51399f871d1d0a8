"""The metrics of generative codecs, of outputs of `served`, which has TensorFlow where recipes have none."""

from models.contract.recipe import Metric

METRICS = (
    Metric("fd", "", "lower", aggregate="frechet", title="FD"),
    Metric("sharpness", "", "higher", title="sharpness"),
)
