"""Compression of a trained classifier: few distinct weights, and those of low entropy (arXiv:1704.00648).

pushed classifier --k-means--> shared centres --"soft": kernels softly assigned, ever harder, cross-entropy + beta H-->
--assignments frozen, normalisation estimated anew--> "hard": centres and the float rest learn on --> indices, codebook

Beside the SavedModel lies the archive (`models.compressed.archive`) from which `kompakt unpack` makes it again.
The paper's ResNet-32 on CIFAR-10: 20.15 times smaller at 92.1 % of 92.6 % (not re-read in its text).
"""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np
from keras import ops

from models.classifiers import classifier
from models.classifiers.inputs import adapt as adapt_to_data
from models.classifiers.inputs import inputs
from models.classifiers.named import check_classes
from models.classifiers.serving import signatures
from models.compressed import original
from models.compressed.coded import Coded, as_half, fill, kernels_of, rest_of
from models.compressed.statistics import estimate
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import resolved_precision
from models.contract.recipe import ConfigError, Recipe, Search, option
from models.contract.training import Judge, Phase
from models.files import write_text
from models.layers.vector_quantizer import VectorQuantizer
from models.publishing import pushed
from models.training.annealing import Anneal

SUMMARY = "compression.json"
UNCOMPRESSED = "uncompressed"  # folder of the int8 file of the model as it was, to compare with
STAGES = ("soft", "hard")


@dataclasses.dataclass(frozen=True)
class CompressedConfig(classifier.PicturesConfig):
    """Options of a compression."""

    model: str = option(
        "small_cnn", "path of the pushed classifier that is compressed, or a recipe that is trained first",
        is_model=True,
    )  # fmt: skip
    model_settings: str = option("", "options of a recipe that is trained first: KEY=VALUE,KEY=VALUE")
    centres: int = option(
        16, "distinct values of all kernels together (L)", search=Search(choices=(8, 16, 32, 64)), low=2, high=4096
    )
    beta: float = option(
        0.1, "weight of the entropy, bits a weight, against the cross-entropy", search=Search(0.03, 30.0, log=True),
        low=0.0,
    )  # fmt: skip
    softness: float = option(
        1.0, "mean squared distance to the nearest centre times sigma, inverse, at first", low=1e-3
    )
    hardening: float = option(300.0, "last sigma over the first one", low=1.0)
    soft_share: float = option(0.7, "share of the steps with soft assignments", low=0.01, high=0.99)
    soft_rate: float = option(0.3, "peak learning rate of that phase over learning_rate", low=0.0)
    hard_rate: float = option(0.1, "peak learning rate of the last phase over learning_rate", low=0.0)
    half: bool = option(True, "whether biases and normalisation are rounded to float16")
    statistics: int = option(50, "training batches from which normalisation is estimated anew", low=1)
    stage: str = option("soft", "what is trained; the phases decide", choices=STAGES)

    def __post_init__(self):
        super().__post_init__()
        if self.budget:
            raise ConfigError(f"budget={self.budget:g}: plain layers are compressed; leave it out")
        if self.init:
            raise ConfigError(f"init={self.init}: give the classifier that is compressed as model=")
        original.check(self)


@keras.saving.register_keras_serializable("kompakt")
class Compressed(Configured):
    """A classifier that works with quantised kernels; only that with the hard ones is exported.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns {"logits": [B, K], "bits": [B]}, float32; the latter
    is the soft entropy of the kernels, bits a weight, the same for each.

    `network` keeps float kernels, that learn in the first stage; it is called with others in their place.

    Raises:
      ConfigError: `config.model` is no pushed classifier.
    """

    config_class = CompressedConfig

    def __init__(self, config: CompressedConfig, **kwargs):
        super().__init__(config, **kwargs)
        if original.is_trained_first(config):
            raise ConfigError(f"model={config.model}: a recipe; outside the pipeline give the path of a pushed model")
        self.inner_recipe, self.inner_config, self.classifier = original.load(config.model, resolved_precision(config))
        if config.stage == "hard":
            for kernel in kernels_of(self.network):
                kernel.trainable = False
        flat = np.concatenate([np.ravel(k) for k in kernels_of(self.network)])[:, None]
        self.quantizer = VectorQuantizer(config.centres, momentum=0.0, name="quantizer")
        self.quantizer.start(flat, config.softness)
        self.assigned = self.add_weight(
            name="assigned", shape=(len(flat),), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        self.assigned.assign(self.quantizer.symbols(flat)[:, 0])
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy", "bits")]

    @property
    def network(self) -> keras.Model:
        """The classifier as a Functional model."""
        return self.classifier.network

    def kernels(self, training: bool):
        """What the network works with: (kernels as `kernels_of` has them, bits a weight)."""
        kernels = kernels_of(self.network)
        if self.config.stage == "hard":
            values = ops.take(self.quantizer.centres, self.assigned, axis=0)
            bits = ops.sum(ops.convert_to_tensor(self.quantizer.usage) * self.quantizer.lengths())
        else:
            flat = ops.concatenate([ops.reshape(ops.convert_to_tensor(k), (-1, 1)) for k in kernels], 0)
            found = self.quantizer.assign(flat, training)
            values, bits = found.value, found.soft_bits if training else found.hard_bits
        ends = np.cumsum([int(np.prod(k.shape)) for k in kernels])
        pieces = ops.split(ops.reshape(values, (-1,)), [int(e) for e in ends[:-1]])
        return [ops.reshape(p, k.shape) for p, k in zip(pieces, kernels, strict=True)], bits

    def call(self, x, training=None):
        """Logits of pixels and bits of the kernels, see the class."""
        kernels, bits = self.kernels(bool(training))
        # Once the assignments are frozen, training sees the very network that is served, its statistics included.
        logits = self.applied(x, kernels, bool(training) and self.config.stage == "soft")
        return {"logits": logits, "bits": ops.zeros_like(logits[:, 0]) + bits}

    def applied(self, x, kernels, training: bool):
        """Logits [B, K] of the network with other kernels; in training its statistics move."""
        network = self.network
        values = {id(k): v for k, v in zip(kernels_of(network), kernels, strict=True)}
        own = [
            [values[id(v)] if id(v) in values else ops.convert_to_tensor(v) for v in group]
            for group in (network.trainable_variables, network.non_trainable_variables)
        ]
        logits, state = network.stateless_call(*own, x, training=training)
        if training:
            for variable, value in zip(network.non_trainable_variables, state, strict=True):
                if len(variable.shape) < 2:
                    variable.assign(value)
        return logits

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean cross-entropy of weighed examples, nats, and beta times the bits a weight; scalar."""
        losses = classifier.cross_entropy(y, y_pred["logits"])
        return ops.mean(weighed(losses, sample_weight)) + self.config.beta * ops.mean(y_pred["bits"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy, cross-entropy and bits a weight."""
        logits = y_pred["logits"]
        values = classifier.hits(y, logits), classifier.cross_entropy(y, logits), y_pred["bits"]
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()

    def harden(self) -> None:
        """Freezes what each number of each kernel is assigned to."""
        flat = np.concatenate([np.ravel(k) for k in kernels_of(self.network)])[:, None]
        symbols = np.array(self.quantizer.symbols(flat))[:, 0]
        self.assigned.assign(symbols)
        self.quantizer.usage.assign(np.bincount(symbols, minlength=self.config.centres)[None] / len(symbols))

    def coded(self) -> Coded:
        """The weights that are served, as an archive has them; centres that nothing is assigned to are left out."""
        if self.config.stage == "soft":
            self.harden()
        used, symbols = np.unique(np.array(self.assigned), return_inverse=True)
        kernels, rest = kernels_of(self.network), [np.array(w, np.float32) for w in rest_of(self.network)]
        return Coded(
            np.array(self.quantizer.centres)[used, 0], symbols.astype(np.int32).ravel(),
            [int(np.prod(k.shape)) for k in kernels], [as_half(r) for r in rest] if self.config.half else rest,
            self.config.half,
        )  # fmt: skip


def build(config: CompressedConfig) -> Compressed:
    """Loads the classifier, finds the first centres, and runs it once.

    Raises:
      ConfigError: there is no such classifier, or the data have other classes.
    """
    classifier.check_known(config)
    model = Compressed(config)
    check_classes(config, model.inner_config)
    size = model.inner_config.image_size
    model(ops.zeros((1, size, size, 3), "float32"))
    return model


def adapt(config: CompressedConfig, files):
    """Fills in classes and picture size as the training records and the model have them.

    Raises:
      ConfigError: as of `models.classifiers.inputs.adapt`; or the classes of the data are not those of the model.
    """
    if original.is_trained_first(config):
        return adapt_to_data(config, files)
    _, known = original.described(config.model)
    if config.image_size not in (0, known.image_size):
        raise ConfigError(f"image_size={config.image_size}: the model takes {known.image_size}; leave it out")
    found = adapt_to_data(dataclasses.replace(config, image_size=known.image_size), files)
    check_classes(found, known)
    return found


def phases(config: CompressedConfig, files):
    """Soft assignments that harden; then frozen ones, whose centres go on learning."""
    soft = min(max(1, int(config.steps * config.soft_share)), config.steps - 1)
    if soft < 1:
        raise ConfigError(f"steps={config.steps}: a compression takes two phases, and each at least a step")
    rates = [config.learning_rate * rate for rate in (config.soft_rate, config.hard_rate)]
    yield Phase("soft", soft, {"weight_decay": 0.0, "learning_rate": rates[0]})
    later = {"stage": "hard", "weight_decay": 0.0, "learning_rate": rates[1], "seed": config.seed + 1}
    yield Phase("hard", config.steps - soft, later, prepare=prepare)


def prepare(model: Compressed, config: CompressedConfig, files) -> None:
    """Freezes the assignments, and estimates normalisation for what they give."""
    model.harden()
    kernels, _ = model.kernels(training=False)
    inner = model.inner_recipe.build(dataclasses.replace(model.inner_config, precision="float32"))
    inner.set_weights(model.classifier.get_weights())
    for variable, value in zip(kernels_of(inner.network), kernels, strict=True):
        variable.assign(value)
    estimate(inner.network, inputs(files.train, config, True).take(config.statistics))
    for variable, value in zip(rest_of(model.network), rest_of(inner.network), strict=True):
        variable.assign(value)


def callbacks(model: Compressed, config: CompressedConfig, files) -> list[keras.callbacks.Callback]:
    """What hardens the assignments, in the first phase."""
    if config.stage == "hard":
        return []
    every = max(1, config.steps // 200)
    return [Anneal([model.quantizer], config.steps, every, ratio=config.hardening)]


def served(model: Compressed, config: CompressedConfig):
    """The classifier with its few weights, as its own recipe would export it."""
    inner_config = dataclasses.replace(model.inner_config, int8=config.int8)
    inner = model.inner_recipe.build(dataclasses.replace(inner_config, precision="float32"))
    inner.set_weights(model.classifier.get_weights())  # the seeds of dropout, which no archive holds
    fill(inner.network, model.coded())
    return model.inner_recipe, inner, inner_config


def beside(model: Compressed, config: CompressedConfig, files, directory: str | os.PathLike) -> None:
    """Writes the archive and what it holds into a folder, and an int8 file of the model as it was to compare with."""
    from models.classifiers import int8
    from models.compressed import archive  # TensorFlow, which training does without

    folder = pathlib.Path(directory)
    inner_config = dataclasses.replace(model.inner_config, int8=config.int8)
    coded = model.coded()
    content, sizes = archive.pack(
        coded, model.inner_recipe, inner_config, pushed.describe(folder.parent)["fingerprint"]
    )
    archive.write(folder, content)
    count = len(coded.symbols) + sum(r.size for r in coded.rest)
    said = {
        "bytes": sizes, "archive": len(content), "float32": 4 * count, "weights": count, "model": config.model,
        "quantised": len(coded.symbols), "values": len(coded.codebook), "centres": config.centres,
    }  # fmt: skip
    write_text(folder / SUMMARY, json.dumps(said))
    (folder / UNCOMPRESSED).mkdir()
    _, _, before = original.load(config.model)
    int8.write(before, dataclasses.replace(model.inner_config, int8=True), files, folder / UNCOMPRESSED)


RECIPE = Recipe(
    name="compressed_network",
    shape="compressed",
    summary="Any pushed classifier with few distinct weights of low entropy, soft-to-hard (arXiv:1704.00648)",
    config=CompressedConfig,
    presets={
        "small": classifier.SMALL,
        # A shared codebook of 75 values; the model's own training has the paper's setting.
        "paper": classifier.PAPER | {"model": "resnet", "model_settings": "depth=32", "centres": 75},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=classifier.EVALUATION,
    report=("compression", "confusions"),
    adapt=adapt,
    served=served,
    beside=beside,
    labelled=True,
    # Beta scales the entropy in the loss; what counts is what the hard network gets right.
    judge=Judge("val_accuracy", "higher"),
    phases=phases,
    callbacks=callbacks,
)
