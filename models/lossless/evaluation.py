"""How lossless codecs are judged."""

from models.contract.recipe import Evaluation, Metric

EVALUATION = Evaluation(
    metrics=(
        Metric("bpsp", "bpsp", "lower", upper_bound=16.0, tolerance=0.02, title="real rate"),
        Metric("estimated_bpsp", "bpsp", "lower", title="estimated rate"),
        Metric("bpp", "bpp", "lower", title="bits a pixel"),
    ),
    slices=("image/size_class",),
)
