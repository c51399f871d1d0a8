"""Inter-class discrepancy alignment of a trained network for faces, after IDA (arXiv:2103.01559).

pixels --pushed network, frozen--> vector --over its length--> embedding --nearest of the bank--> discrepancy, spread
                                      '--estimator--> the same, of the vector alone

A pair's cosine is aligned with what is said of both faces (`models.faces.alignment`), and has a threshold of its own.
What is trained is the estimator alone: it learns what the bank says of a face, its own person's candidates left out.
"""

import dataclasses
import pathlib

import keras
import numpy as np
from keras import ops

from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Recipe, option
from models.contract.training import Judge, Phase
from models.faces import alignment, bank, calibration, decision, original
from models.faces.face import PAPER as FACE_PAPER
from models.faces.face import figures
from models.faces.ida_serving import signatures
from models.faces.inputs import inputs as face_inputs
from models.records import pictures as picture_records
from models.training import replicas

_LEAST = 1e-3  # standard deviation by which the estimator's errors are divided, at least
_NEAREST, _COHORT, _MIXED = 10, 200, 2000  # neighbours, those of "zscore", and mixtures, where no number is given
_LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class IdaConfig(Config):
    """Options of an alignment; steps and learning rate are the estimator's."""

    model: str = option(
        "face", "path of the pushed network for faces that is aligned, or a recipe to train first", is_model=True,
        in_fingerprint=False,
    )  # fmt: skip
    model_settings: str = option("", "options of a recipe that is trained first: KEY=VALUE,KEY=VALUE")
    source: str = option("prototypes", "where the bank's candidates are from", choices=bank.SOURCES)
    bank: str = option(
        "", "file of candidates, for source=file: .npz with embeddings, fingerprint (of the model), maybe persons",
        is_model=True, in_fingerprint=False,
    )  # fmt: skip
    candidates: int = option(
        0, "how many (0: a prototype of each training person, 2000 mixtures, or the file's)", low=0
    )
    neighbours: int = option(0, "candidates of a support set (0: 10, or 200 of zscore)", low=0)
    radius: float = option(-1.0, "least cosine of those beyond the nearest (-1: any)", low=-1.0, high=1.0)
    duplicate: float = option(
        0.7, "cosine above which a candidate is taken for the same person and left out", low=0.0, high=1.0
    )
    mode: str = option("subtract", "how a pair's cosine is aligned", choices=alignment.MODES)
    strength: float = option(
        -1.0, "of subtract and one_sided (-1: the best of 0, 0.25, 0.5 and 1 on the validation's pairs)", low=-1.0
    )
    estimator: str = option("bank", "what says the discrepancy that is served", choices=alignment.ESTIMATORS)
    false_accept_rate: float = option(
        0.01, "share of the validation's impostor pairs that both thresholds of `verify` accept at most",
        low=0.0, high=0.5,
    )  # fmt: skip
    network: str = option("", "what the model is, JSON; taken from it", in_fingerprint=False)
    belongs_to: str = option("", "fingerprint of the model, to which the bank is bound; taken from it")

    def __post_init__(self):
        super().__post_init__()
        if -1.0 < self.strength < 0.0:
            raise ConfigError(f"strength={self.strength}: must be at least 0, or -1 to choose it")
        if (self.source == "file") != bool(self.bank):
            raise ConfigError("source=file and bank=PATH: give both or neither")
        if self.init:
            raise ConfigError(f"init={self.init}: give the network that is aligned as model=")
        if original.is_trained_first(self):
            original.recipe_to_train(self)

    @property
    def support(self) -> int:
        """How many candidates a support set has."""
        return min(self.neighbours or (_COHORT if self.mode == "zscore" else _NEAREST), max(1, self.candidates))


def face_config(config: IdaConfig, persons: int = _LARGEST) -> Config:
    """The network's configuration, for reading pictures as it does in batches of this training."""
    _, known = original.again(config.network)
    return dataclasses.replace(
        known, batch_size=config.batch_size, seed=config.seed, classes=persons, sampler="uniform"
    )


def inputs(files, config: IdaConfig, training: bool):
    """Batches as of `models.faces.inputs.inputs`, as the network sees pictures; persons are numbers alone."""
    return face_inputs(files, face_config(settled(config)), training)


def settled(config: IdaConfig) -> IdaConfig:
    """The configuration with what the pushed network says of itself.

    Raises:
      ConfigError: there is none; or it is still to be trained.
    """
    if config.network:
        return config
    if original.is_trained_first(config):
        raise ConfigError(f"model={config.model}: a recipe; outside the pipeline give the path of a pushed model")
    found = original.described(config.model)
    return dataclasses.replace(config, network=original.kept(found), belongs_to=found.fingerprint)


def adapt(config: IdaConfig, files) -> IdaConfig:
    """The configuration with what the network says of itself, and how many candidates there are.

    Raises:
      ConfigError: no such network, too few persons or candidates, or a file of candidates that cannot be used.
    """
    config = settled(config)
    labels = [int(picture_records.parse(r)[picture_records.LABEL]) for r in picture_records.records(files)]
    if not labels or min(labels) < 0:
        raise ConfigError("the pictures do not say whom they show; faces are folders of persons")
    persons = len(set(labels))
    if config.source == "file":
        most = count = len(_given(config).embeddings)
    else:
        most, count = (persons, persons) if config.source == "prototypes" else (_LARGEST, _MIXED)
    if persons < 2 or config.candidates > most:
        raise ConfigError(f"candidates={config.candidates}: the training has {persons} persons, and the bank at most "
                          f"{min(most, count)} candidates")  # fmt: skip
    return dataclasses.replace(config, candidates=config.candidates or count)


def _given(config: IdaConfig) -> bank.Bank:
    return bank.read(config.bank, config.belongs_to, original.again(config.network)[1].embedding)


@keras.saving.register_keras_serializable("kompakt")
class Determination(keras.metrics.Metric):
    """The coefficient of determination of an estimate, R squared, over all examples; 0 where all are alike."""

    def __init__(self, name: str = "r2", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sums = self.add_weight(shape=(4,), initializer="zeros", name="sums", dtype="float32")

    def update_state(self, wanted, estimated, sample_weight=None):
        """wanted, estimated: float [B]."""
        error = ops.square(wanted - estimated)
        rows = ops.stack([ops.ones_like(wanted), wanted, ops.square(wanted), error])
        self.sums.assign_add(ops.sum(rows, axis=1))

    def result(self):
        """Scalar, at most 1."""
        count, first, second, error = ops.unstack(self.sums.value)
        total = second - ops.square(first) / ops.maximum(count, 1.0)
        return ops.where(total > 1e-9, 1.0 - error / ops.maximum(total, 1e-9), 0.0)


@keras.saving.register_keras_serializable("kompakt")
class Aligned(Configured):
    """A frozen network for faces, its bank, and the estimator that is trained.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns, float32, "embedding": unit vectors [B, D], and
    "support" [B, 4]: discrepancy and spread as the bank has them, and as the estimator does.

    `decision` and `aligned_decision`, float32 [3], are of the raw and of the aligned score what that of
    `models.faces.face.Face` is; `form`, float32 [3], the mean discrepancies of the validation's faces by both
    estimators, and the strength.
    """

    config_class = IdaConfig

    def __init__(self, config: IdaConfig, **kwargs):
        super().__init__(config, **kwargs)
        recipe, known = original.again(config.network)
        self.network = recipe.build(dataclasses.replace(known, precision=config.precision)).network
        self.network.trainable = False
        width = known.embedding
        self.candidates = self._kept("candidates", (config.candidates, width))
        self.persons = self._kept("persons", (config.candidates, 2), "int32")
        self.decision, self.aligned_decision = self._kept("decision", (3,)), self._kept("aligned_decision", (3,))
        self.form = self._kept("form", (3,))
        self.usual = self._kept("usual", (2, 2))  # mean and standard deviation in training, of discrepancy and spread
        self.usual.assign([[0.0, 0.0], [1.0, 1.0]])
        hidden = keras.layers.Dense(max(4, width // 4), "relu", name="hidden")
        self.estimator = keras.Sequential([keras.Input((width,)), hidden, keras.layers.Dense(2, name="said")])
        self.determination = Determination()

    def _kept(self, name: str, shape: tuple[int, ...], dtype: str = "float32"):
        """A variable that no gradient trains and nothing casts to half precision."""
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False, autocast=False,
            aggregation="only_first_replica",
        )  # fmt: skip

    def call(self, x, training=None):
        """Embeddings and what is said of their support sets, of pixels; see the class."""
        return self.of_vectors(ops.cast(self.network(x, training=False), "float32"))

    def of_vectors(self, vectors):
        """The same of what the network gives, [B, D] of any length: the length tells of a picture's quality."""
        unit = ops.normalize(vectors, axis=-1, epsilon=1e-12)
        said = ops.cast(self.estimator(vectors), "float32")
        mean, deviation = ops.unstack(ops.convert_to_tensor(self.usual), 2)
        found = ops.stack(self.supported(unit), axis=1)
        return {"embedding": unit, "support": ops.concatenate([found, mean + deviation * said], axis=1)}

    def supported(self, unit, own=None):
        """Discrepancy and spread, float32 [B] each, of unit vectors [B, D] by the bank; see `alignment.support`."""
        config = self.config
        return alignment.support(
            unit, ops.convert_to_tensor(self.candidates), ops.convert_to_tensor(self.persons), config.support, own,
            config.duplicate, config.radius,
        )  # fmt: skip

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Huber's, of discrepancy and spread against the bank's without the candidates of y, int [B], in standard
        deviations of the training; scalar."""
        wanted = ops.stack([ops.stop_gradient(s) for s in self.supported(y_pred["embedding"], y)], axis=1)
        error = ops.abs(wanted - y_pred["support"][:, 2:]) / ops.convert_to_tensor(self.usual)[1]
        losses = ops.where(error <= 1.0, 0.5 * ops.square(error), error - 0.5)
        return ops.mean(weighed(ops.sum(losses, axis=1), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """How well the discrepancy is estimated."""
        wanted, _ = self.supported(y_pred["embedding"], y)
        self.determination.update_state(replicas.gathered(wanted), replicas.gathered(y_pred["support"][:, 2]))
        return self.get_metrics_result()

    def alignment_of(self, support: np.ndarray, estimator: str, strength: float | None = None) -> alignment.Alignment:
        """How pairs of a set are aligned, of what `call` says of it, [N, 4]."""
        place = alignment.ESTIMATORS.index(estimator)
        *averages, chosen = np.array(self.form).tolist()
        form = alignment.Form(self.config.mode, chosen if strength is None else strength, averages[place])
        return alignment.Alignment(form, *np.asarray(support, np.float64)[:, 2 * place : 2 * place + 2].T)


def build(config: IdaConfig) -> Aligned:
    """Makes the model with every variable; network and bank are filled in by `prepare`, or from a file of weights.

    Raises:
      ConfigError: no such network, or the number of candidates is not known.
    """
    config = settled(config)
    if not config.candidates:
        raise ConfigError("candidates=0: it is taken from the training data, and there are none here; set it")
    with policy_of(config):
        model = Aligned(config)
        size = original.again(config.network)[1].image_size
        model(ops.zeros((1, size, size, 3), "float32"))
    return model


def prepare(model: Aligned, config: IdaConfig, files) -> None:
    """Takes the network's weights, and makes the bank of the training's faces.

    Raises:
      ConfigError: the network has changed, or the bank is another's.
    """
    found = original.described(config.model)
    if found.fingerprint != model.config.belongs_to:
        raise ConfigError(f"model={config.model}: changed while it was aligned; run it again")
    model.network.set_weights(original.load(found).network.get_weights())
    config = model.config
    unit, persons = decision.embedded(model, files.train, face_config(config))
    if config.source == "file":
        made = bank.Bank(*(part[: config.candidates] for part in _given(config)))
    elif config.source == "prototypes":
        made = bank.prototypes(unit, persons, config.candidates)
    else:
        made = bank.mixed(unit, persons, config.candidates, config.seed)
    model.candidates.assign(made.embeddings)
    model.persons.assign(made.persons)
    parts = [slice(n, n + calibration.BATCH) for n in range(0, len(unit), calibration.BATCH)]
    found = np.concatenate([np.stack(model.supported(unit[part], persons[part]), axis=1) for part in parts])
    model.usual.assign([found.mean(axis=0), np.maximum(found.std(axis=0), _LEAST)])


def phases(config: IdaConfig, files):
    """One phase, of the estimator."""
    yield Phase("", config.steps, prepare=prepare)


def beside(model: Aligned, config: IdaConfig, files, directory) -> None:
    """Writes the bank into a folder, for another alignment of the same network."""
    made = bank.Bank(np.array(model.candidates), np.array(model.persons))
    bank.write(pathlib.Path(directory) / bank.FILE, made, model.config.source, model.config.belongs_to)


def callbacks(model: Aligned, config: IdaConfig, files) -> list[keras.callbacks.Callback]:
    """What calibrates the model, as `callbacks` of the recipe."""
    return [calibration.Calibrate(model.config, face_config(model.config), files.validation)]


# A model that harms is not blessed: two points of the TAR at FAR 1e-2, if it is told, or of the equal error rate.
_HARM = Metric("harm", "", "lower", upper_bound=0.02, aggregate="verification", arguments={"figure": "harm"},
               title="what the alignment costs")  # fmt: skip
# Huber's loss, Adam and 20 epochs of batches of 256 are choices of this project; the paper's could not be read.
RECIPE = Recipe(
    name="ida",
    shape="aligned",
    summary="Scores of a pushed network for faces against how crowded each face is, after IDA (arXiv:2103.01559)",
    data="faces",
    config=IdaConfig,
    presets={
        "small": {"batch_size": 96, "steps": 400, "steps_per_epoch": 50, "learning_rate": 3e-3},
        "paper": {"batch_size": 256, "steps": 20_000, "steps_per_epoch": 1000,
                  "model_settings": ",".join(f"{name}={value}" for name, value in FACE_PAPER.items())},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(metrics=(_HARM, *figures("aligned", "aligned_"), *figures(bounded=False))),
    adapt=adapt,
    phases=phases,
    callbacks=callbacks,
    beside=beside,
    judge=Judge("val_r2", "higher", keep="best"),
    report=("alignment", "verification"),
)  # fmt: skip
