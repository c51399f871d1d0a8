"""Learns algorithms for small matrix products: 2x2 matrices by 7 multiplications, as Strassen's (arXiv:1712.03942).

    C = W_c [ (W_a vec(A)) * (W_b vec(B)) ],  W of -1, 0 and 1, many searches side by side

For entries that are independent with mean 0 and variance 1 the expected error is the squared distance of the tensors,
which needs no pairs of matrices; the paper learns from pairs (`--set error=pairs`). First in full precision; then each
weight is pulled to the nearest of -1, 0 and 1, ever harder, or made ternary by straight-through estimation.
"""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np
from keras import ops

from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, Evaluation, Metric, Recipe, Search, option
from models.contract.training import Judge, Phase
from models.files import write_text
from models.layers.ternary import fixed_ternary, straight_through
from models.strassen import algorithm as algorithms
from models.strassen.bilinear_inputs import inputs

FILE = "algorithm.json"
METHODS = {"pull": ("pull",), "ste": ("ste",), "pull_ste": ("pull", "ste")}


@dataclasses.dataclass(frozen=True)
class BilinearConfig(Config):
    """Options of a search for algorithms."""

    learning_rate: float = option(
        0.1, "peak of the schedule; small matrices stand large steps", search=Search(0.01, 0.3, log=True), low=0.0
    )
    rows: int = option(2, "of the left matrix (m)", low=1, high=4)
    inner: int = option(2, "columns of the left matrix and rows of the right one (k)", low=1, high=4)
    columns: int = option(2, "of the right matrix (n)", low=1, high=4)
    rank: int = option(7, "multiplications of the algorithm (r)", low=1, high=64)
    restarts: int = option(256, "searches side by side, each from weights of its own", low=1)
    method: str = option("pull", "how weights become -1, 0 and 1", choices=tuple(METHODS))
    error: str = option("expected", "the expected error, or that of a batch of pairs", choices=("expected", "pairs"))
    full_share: float = option(0.3333, "share of the steps in full precision", low=0.0, high=0.95)
    decay: float = option(0.003, "weight of the squared weights in that phase", search=Search(1e-4, 0.03, log=True))
    pull: float = option(
        1.0, "weight of the squared distances to -1, 0 and 1 at the end", search=Search(0.1, 3.0, log=True), low=0.0
    )
    stage: str = option("full", "what is trained; the phases decide", choices=("full", "pull", "ste"))
    leaf: int = option(1, "side up to which served products are not divided", low=1)
    levels: int = option(6, "the most divisions of a served product", low=0, high=10)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(m, k, n)."""
        return self.rows, self.inner, self.columns


@keras.saving.register_keras_serializable("kompakt")
class Bilinear(Configured):
    """Many searches for one algorithm: W_a [R, r, m k], W_b [R, r, k n], W_c [R, m n, r].

    `call` takes {"a": [B, m, k], "b": [B, k, n]} and returns what each search makes of them, [B, R, m, n] float32.
    """

    config_class = BilinearConfig

    def __init__(self, config: BilinearConfig, **kwargs):
        super().__init__(config, **kwargs)
        m, k, n = config.sizes
        shapes = {"w_a": (config.rank, m * k), "w_b": (config.rank, k * n), "w_c": (m * n, config.rank)}
        for name, shape in shapes.items():
            weight = self.add_weight(
                name=name, shape=(config.restarts, *shape), dtype="float32", autocast=False,
                initializer=keras.initializers.RandomUniform(-1.0, 1.0),
            )  # fmt: skip
            setattr(self, name, weight)
        # Of the stage that pulls; an optimizer's own count would be a constant where JAX traces the loss.
        self.step = self.add_weight(
            name="step", shape=(), initializer="zeros", dtype="float32", autocast=False, trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        self.wanted = algorithms.product_tensor(config.sizes).astype("float32")
        self.trackers = [keras.metrics.Mean(name=name) for name in ("exact", "least_wrong")]

    def weights_of(self) -> list:
        """W_a, W_b, W_c, as the stage has them."""
        kernels = [self.w_a, self.w_b, self.w_c]
        if self.config.stage != "ste":
            return [ops.convert_to_tensor(w) for w in kernels]
        return [straight_through(w, fixed_ternary(ops.convert_to_tensor(w))) for w in kernels]

    def call(self, x, training=None):
        w_a, w_b, w_c = self.weights_of()
        a, b = (ops.reshape(ops.cast(x[name], "float32"), (-1, w.shape[-1])) for name, w in (("a", w_a), ("b", w_b)))
        products = ops.einsum("trx,bx->btr", w_a, a) * ops.einsum("trx,bx->btr", w_b, b)
        m, _, n = self.config.sizes
        return ops.reshape(ops.einsum("tzr,btr->btz", w_c, products), (-1, self.config.restarts, m, n))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean over searches of the error, expected or of the pairs, and of what the stage adds; scalar."""
        self.judge()
        if self.config.error == "pairs":
            errors = ops.mean(ops.sum(ops.square(y_pred - ops.expand_dims(y, 1)), axis=(2, 3)), axis=1)
        else:
            distance = ops.square(ops.einsum("trx,try,tzr->txyz", *self.weights_of()) - self.wanted)
            errors = ops.full((ops.shape(y)[0],), 1.0) * (ops.sum(distance) / self.config.restarts)
        return ops.mean(weighed(errors, sample_weight)) + self.added(training)

    def added(self, training: bool):
        """What draws the weights, to zero or to whole numbers; scalar."""
        kernels = [ops.convert_to_tensor(w) for w in (self.w_a, self.w_b, self.w_c)]
        if self.config.stage == "full":
            return self.config.decay * sum(ops.sum(ops.square(w)) for w in kernels) / self.config.restarts
        if self.config.stage == "ste":
            return 0.0
        share = ops.minimum(self.step / self.config.steps, 1.0) if training else 1.0
        if training:
            self.step.assign_add(1.0)
        distance = sum(ops.sum(ops.square(w - ops.stop_gradient(_rounded(w)))) for w in kernels)
        return self.config.pull * share * distance / self.config.restarts

    def judge(self) -> None:
        """Tracks the share of the searches that have found an exact algorithm, and how wrong the nearest one is."""
        tensors = ops.einsum("trx,try,tzr->txyz", *(_rounded(w) for w in (self.w_a, self.w_b, self.w_c)))
        wrong = ops.sum(ops.cast(ops.abs(tensors - self.wanted) > 0.5, "float32"), axis=(1, 2, 3))
        self.trackers[0].update_state(ops.cast(wrong == 0, "float32"))
        self.trackers[1].update_state(ops.min(wrong))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """What `judge` tracks: it is asked with the loss, since weights are out of reach here on JAX."""
        return self.get_metrics_result()

    def found(self) -> list[algorithms.Algorithm]:
        """What each search has come to, rounded."""
        kernels = (np.array(_rounded(w)) for w in (self.w_a, self.w_b, self.w_c))
        return [algorithms.Algorithm(self.config.sizes, *matrices) for matrices in zip(*kernels, strict=True)]

    def best(self) -> algorithms.Algorithm:
        """Of what was found the least wrong, and of those the one with the fewest additions."""
        return min(self.found(), key=lambda a: (a.wrong, a.additions))


def _rounded(weights):
    return ops.clip(ops.round(ops.convert_to_tensor(weights)), -1.0, 1.0)


def build(config: BilinearConfig) -> Bilinear:
    """Makes the searches under their dtype policy; they compute in float32 whatever it is."""
    with policy_of(config):
        model = Bilinear(config)
        m, k, n = config.sizes
        model({"a": ops.zeros((1, m, k)), "b": ops.zeros((1, k, n))})
    return model


def phases(config: BilinearConfig, files):
    """Full precision, then what the method makes ternary; each at the whole learning rate."""
    full = min(int(config.steps * config.full_share), config.steps - len(METHODS[config.method]))
    if full > 0:
        yield Phase("full", full, {"stage": "full"})
    left = config.steps - max(full, 0)
    for n, stage in enumerate(METHODS[config.method]):
        steps = left // (len(METHODS[config.method]) - n)
        left -= steps
        yield Phase(stage, steps, {"stage": stage})


def signatures(model: Bilinear, config: BilinearConfig):
    """The module to save: the best algorithm, applied by recursion."""
    from models.strassen.bilinear_serving import BilinearServer  # TensorFlow, which training does without

    return BilinearServer(model, config, model.best())


def beside(model: Bilinear, config: BilinearConfig, files, directory: str | os.PathLike) -> None:
    """Writes the best algorithm as FILE, and how many of the searches were exact."""
    wrong = [algorithm.wrong for algorithm in model.found()]
    said = json.loads(algorithms.dumps(model.best()))
    said |= {"restarts": len(wrong), "exact_restarts": wrong.count(0)}
    write_text(pathlib.Path(directory, FILE), json.dumps(said))


RECIPE = Recipe(
    name="bilinear",
    shape="bilinear",
    summary="Searches for algorithms of small matrix products, Strassen's among them (arXiv:1712.03942)",
    config=BilinearConfig,
    presets={
        "small": {"steps": 4500, "steps_per_epoch": 500, "batch_size": 64,
                  "final_rate_fraction": 1.0, "gradient_clip_norm": 0.0},
        # As the paper says it: pairs, plain straight-through estimation.
        "paper": {"steps": 3500, "steps_per_epoch": 500, "batch_size": 64, "learning_rate": 0.003,
                  "final_rate_fraction": 1.0, "gradient_clip_norm": 0.0, "method": "ste", "error": "pairs",
                  "full_share": 0.1429},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(
        metrics=(
            Metric("exact", "", "higher", lower_bound=1.0),
            Metric("error", "", "lower", upper_bound=1e-3),
            Metric("share", "", "lower"),
        ),
        comparable=("rows", "inner", "columns", "rank"),
    ),
    beside=beside,
    data="matrices",
    judge=Judge("val_exact", "higher"),
    phases=phases,
    report=("algorithm",),
    batching=False,
)  # fmt: skip
