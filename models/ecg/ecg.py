"""What the models of electrocardiograms have in common: configuration, network, loss, evaluation (arXiv:1710.06122).

    samples --log spectrogram--> maps --blocks of convolutions--> features of each frame --head--> logits

Every layer leaves padding out, so that recordings of any lengths go into one batch.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from models.classifiers.classifier import cross_entropy, hits, json_list
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Search, option
from models.contract.training import Judge
from models.ecg.masked_layers import MaskedConvUnit, MaskedMean, halved
from models.ecg.spectrogram import LogSpectrogram, frames_of
from models.records import ecg_units
from models.records import recordings as ecg_records

STRETCHES = {1: (6,), 3: (5, 6, 7), 5: (4, 5, 6, 7, 8)}  # sixths of the length; in training 4 to 8 are drawn
_LEAST = 1e-7  # of a mean probability, so that its logarithm is finite


@dataclasses.dataclass(frozen=True)
class EcgConfig(Config):
    """Options of the models of electrocardiograms: what is known of the data, how they are drawn, the convolutions."""

    classes: int = option(0, "number of classes (0: as many as the training data have)", low=0)
    class_names: str = option("", "their names, a JSON list (empty: those of the training data)")
    class_shares: str = option("", "share of each class in the training data, a JSON list (empty: as they are)")
    amplitude: float = option(0.0, "millivolts by which signals are divided (0: the RMS of the training data)", low=0.0)
    stretches: int = option(
        1, "speeds at which a recording is played for its answer, the mean of them", choices=tuple(STRETCHES)
    )
    class_offsets: str = option(
        "", "what is added to the logits of the classes outside training, a JSON list (empty: nothing)"
    )
    channels: int = option(16, "maps of the first layers", search=Search(choices=(8, 16, 24, 32)), low=2)
    growth: int = option(16, "maps that each block adds", search=Search(choices=(8, 16, 24, 32)), low=0)
    blocks: int = option(6, "blocks, each of which halves time and frequency", low=1, high=8)
    layers: int = option(2, "convolutions of a block", search=Search(choices=(1, 2, 3, 4)), low=1)
    kernel: int = option(3, "side of the kernels, frames and frequencies", search=Search(choices=(3, 5)), low=1)
    dropout: float = option(0.15, "share dropped behind each convolution", search=Search(0.0, 0.4), low=0.0, high=0.9)
    class_weight: float = option(
        0.2, "s in the weight 1 - s + s / share of a class in the loss", search=Search(0.0, 0.5), low=0.0, high=1.0
    )
    resample: bool = option(True, "whether rare classes are drawn more often, int(0.2 / share) + 1 times")
    bursts: bool = option(True, "whether bursts of samples are zeroed in training, about 22 % in all")
    stretch: bool = option(True, "whether training signals are played at 80/120 to 80/60 of their length")
    crop_seconds: float = option(
        30.0, "longest piece of a recording that is trained on, seconds", low=1.0, high=ecg_units.LONGEST_S
    )

    flip = False  # spectrograms have no sign; an option of networks on samples

    def __post_init__(self):
        super().__post_init__()
        if self.classes == 1:
            raise ConfigError("classes=1: there is nothing to tell apart")
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel={self.kernel}: must be odd, so that padding is the same on both sides")
        if not all(isinstance(value, int | float) for value in json_list("class_offsets", self.class_offsets)):
            raise ConfigError(f"class_offsets={self.class_offsets}: wanted is a JSON list of numbers")
        for name in ("class_names", "class_shares", "class_offsets"):
            values = json_list(name, getattr(self, name))
            if values and self.classes and len(values) != self.classes:
                raise ConfigError(f"{name}: {len(values)} entries for {self.classes} classes")

    @property
    def names(self) -> list[str]:
        """The names of the classes, by index; their indices where there are none."""
        names = json_list("class_names", self.class_names) or [""] * self.classes
        return [name or str(c) for c, name in enumerate(names)]

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the training data, float64 [K]; all the same where it is not known."""
        shares = json_list("class_shares", self.class_shares) or [1.0 / max(1, self.classes)] * self.classes
        return np.array(shares, np.float64)


@dataclasses.dataclass(frozen=True)
class SpectrogramConfig(EcgConfig):
    """Options of the networks on spectrograms: their resolution. 300 samples are a second."""

    hop: int = option(32, "samples from one frame to the next", search=Search(choices=(11, 16, 32)), low=8, high=64)
    overlap: int = option(2, "a frame has so many times as many samples", low=2, high=8)
    highest: float = option(150.0, "frequency up to which bins are kept, hertz", low=10.0, high=150.0)

    def __post_init__(self):
        super().__post_init__()
        if (span := self.hop * self.overlap) > ecg_units.RATE * 2 // 3 or span % 2:
            raise ConfigError(
                f"hop={self.hop}, overlap={self.overlap}: a frame of {span} samples; wanted are an even number up to "
                f"{ecg_units.RATE * 2 // 3}"
            )


# Trains on two cores. Rare classes are drawn more often but not weighted as well: with both, as the authors have it,
# nearly half of the loss is about noise, and the score rises late. Dropout does, too, and takes a fifth of the time.
SMALL = {"batch_size": 32, "steps": 1000, "steps_per_epoch": 100, "learning_rate": 2e-3, "channels": 16, "growth": 16,
         "kernel": 3, "dropout": 0.0, "class_weight": 0.0}  # fmt: skip
# As in the authors' public configuration.
PAPER = {"batch_size": 20, "steps_per_epoch": 284, "learning_rate": 1e-3, "warmup_fraction": 0.0,
         "final_rate_fraction": 0.01, "gradient_clip_norm": 0.0, "channels": 32, "growth": 32, "kernel": 5,
         "dropout": 0.15, "crop_seconds": 61.0}  # fmt: skip


def convolutions(config: SpectrogramConfig) -> keras.Model:
    """The network from {"samples", "length"} to the features of each frame [B, N, D] and how many frames count [B]."""
    given = placeholders()
    frames = frames_of(given["length"], config.hop, config.overlap)
    settings = config.amplitude, config.hop, config.overlap, config.highest
    x = LogSpectrogram(ecg_units.RATE, *settings, name="spectrogram")(given["samples"], given["length"])
    for block in range(config.blocks):
        width = config.channels + block * config.growth
        for _ in range(config.layers - 1):
            x = MaskedConvUnit(width, config.kernel, 1, config.dropout)(x, frames)
        frames = halved(frames)
        x = MaskedConvUnit(width + config.growth, config.kernel, 2, config.dropout)(x, frames)
    x = keras.layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    return keras.Model(given, (x, frames), name="cnn")


def stretched(samples, length, sixths: int):
    """Signals at sixths / 6 of their length, by linear interpolation.

    Args:
      samples: float32 [B, T], zero beyond the lengths. length: int32 [B].

    Returns: float32 [B, T'], zero beyond the new lengths; the new lengths, int32 [B].
    """
    if sixths == 6:
        return samples, length
    width = ops.shape(samples)[1]
    steps = ops.arange(width * sixths // 6, dtype="int32")
    left = steps * 6 // sixths
    one = ops.take(samples, left, axis=1)
    two = ops.take(samples, ops.minimum(left + 1, width - 1), axis=1)
    two = ops.where(left[None] + 1 < length[:, None], two, one)  # what lies behind the end is not the signal's
    part = ops.cast(steps * 6 - left * sixths, "float32") / sixths
    new = length * sixths // 6
    return ops.where(steps[None] < new[:, None], one + (two - one) * part, 0.0), new


def placeholders() -> dict:
    """What the models take: samples in millivolts, zero beyond the length, and how many of them count."""
    return {  # in the order of their names, as TensorFlow hands them over
        "length": keras.Input((), dtype="int32", name="length"),
        "samples": keras.Input((None,), dtype="float32", name="samples"),
    }


class Ecg(Configured):
    """A model of electrocardiograms to train. Subclasses say in `logits` what stands behind the convolutions.

    `call` takes {"samples": float32 [B, T], millivolts at 300 Hz, "length": int32 [B]} and returns logits [B, K]
    float32. `cnn` is the network up to the features of each frame.
    """

    config_class = SpectrogramConfig
    features = staticmethod(convolutions)  # config -> the network below the logits

    def __init__(self, config: EcgConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.cnn = self.features(config)
        given = placeholders()
        self.network = keras.Model(given, self.logits(*self.cnn(given), config), name="network")
        for part in (self, self.cnn, self.network):
            part.autocast = False  # half precision would spoil the samples before their spectrogram is taken
        self.class_weights = class_weights(config)
        self.trackers = [keras.metrics.Mean(name="accuracy"), keras.metrics.Mean(name="cross_entropy")]
        scored = [c for c, name in enumerate(config.names) if name in ecg_units.SCORED]
        self.confusion = ChallengeF1(scored, config.classes, name="f1")

    def logits(self, features, frames, config):
        """Features [B, N, D] and frames that count [B] -> logits [B, K] float32."""
        raise TypeError(f"{type(self).__name__} must say in `logits` what stands behind the convolutions")

    def call(self, x, training=None):
        """Logits of a batch, see the class. Outside training those of several speeds, and offsets, as options say."""
        x = dict(x)  # on export a dict of TensorFlow's, of which Keras warns
        if training:
            return self.network(x, training=training)
        logits = self.over_stretches(x)
        if offsets := json_list("class_offsets", self.config.class_offsets):
            logits = logits + ops.convert_to_tensor(offsets, "float32")
        return logits

    def over_stretches(self, x):
        """Logits outside training: logarithms of the mean probabilities over `config.stretches` speeds."""
        sixths = STRETCHES[self.config.stretches]
        if len(sixths) == 1:
            return self.network(x, training=False)
        played = [stretched(x["samples"], x["length"], count) for count in sixths]
        answers = [self.network({"samples": s, "length": n}, training=False) for s, n in played]
        return ops.log(ops.maximum(sum(ops.softmax(a) for a in answers) / len(answers), _LEAST))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Cross-entropy with y [B, K], one-hot, each recording weighed by its class too; scalar, nats."""
        weights = ops.sum(ops.cast(y, "float32") * self.class_weights, axis=-1)
        return ops.mean(weighed(weights * cross_entropy(y, y_pred), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy and cross-entropy, and the challenge's F1 over all of the epoch."""
        for tracker, value in zip(self.trackers, (hits(y, y_pred), cross_entropy(y, y_pred)), strict=True):
            tracker.update_state(value)
        self.confusion.update_state(y, y_pred)
        return self.get_metrics_result()


def class_weights(config: EcgConfig) -> np.ndarray:
    """Weight of each class in the loss, float32 [K]: 1 - s + s / share, over its mean in the training data.

    The paper's 0.8 + 0.2 * 100 / percent, except that the mean is one, so that losses can be compared.
    """
    shares = config.shares
    weights = 1 - config.class_weight + config.class_weight / np.where(shares > 0, shares, 1.0)
    return (weights / (weights * shares).sum()).astype("float32")


@keras.saving.register_keras_serializable("kompakt")
class ChallengeF1(keras.metrics.Metric):
    """Mean over some classes of F1 = 2 hits / (predictions + recordings of the class), over all recordings seen.

    A class without either counts as 0.

    Args:
      scored: indices of the classes; empty: all of them.
      classes: how many there are.
    """

    def __init__(self, scored, classes: int, name: str = "f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.scored, self.classes = list(scored) or list(range(classes)), classes
        self.matrix = self.add_weight(shape=(classes, classes), initializer="zeros", name="matrix")

    def update_state(self, y, logits, sample_weight=None):
        """y: [B, K], one-hot. logits: [B, K]. Rows of the matrix are the labels, columns the predictions."""
        predicted = ops.one_hot(ops.argmax(logits, axis=-1), self.classes, dtype="float32")
        self.matrix.assign_add(ops.matmul(ops.transpose(ops.cast(y, "float32")), predicted))

    def result(self):
        """Scalar in [0, 1]."""
        both = ops.sum(self.matrix, axis=0) + ops.sum(self.matrix, axis=1)
        scores = 2.0 * ops.diagonal(self.matrix) / ops.maximum(both, 1.0)
        return ops.mean(ops.take(scores, self.scored))

    def get_config(self):
        return super().get_config() | {"scored": self.scored, "classes": self.classes}


def mean_logits(features, frames, classes: int):
    """Features [B, N, D], averaged over the frames that count, to logits [B, K] float32."""
    return dense_logits(MaskedMean(name="embedding")(features, frames), classes)


def dense_logits(x, classes: int):
    """[B, D] -> logits [B, K], float32 whatever the policy."""
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)


def build(model_class: type[Ecg], config: EcgConfig) -> Ecg:
    """Makes the model under its dtype policy and runs it once, so that every variable exists.

    Raises:
      ConfigError: the number of classes or the amplitude is not known.
    """
    for name in ("classes", "amplitude"):
        if not getattr(config, name):
            raise ConfigError(f"{name}=0: it is taken from the training data, and there are none here; set it")
    with policy_of(config):
        model = model_class(config)
        second = ecg_units.RATE
        model({"samples": ops.zeros((1, second), "float32"), "length": ops.full((1,), second, "int32")})
    return model


def _class_metrics(score: str) -> tuple[Metric, ...]:
    """A score of each class; there are too many of them for a summary, but for the F1."""
    return tuple(
        Metric(f"{score}_{name}", "", "higher", aggregate="class_score", arguments={"score": score, "place": place},
               title=f"F1 {name}" if score == "f1" else "", detail=score != "f1")
        for place, name in enumerate(ecg_units.CLASSES.values())
    )  # fmt: skip


EVALUATION = Evaluation(
    metrics=(
        Metric("challenge_f1", "", "higher", 0.0, tolerance=0.02, aggregate="challenge_f1", title="challenge F1"),
        *(metric for score in ("f1", "precision", "recall") for metric in _class_metrics(score)),
        Metric("accuracy", "", "higher"),
        Metric("cross_entropy", "nats", "lower"),
        Metric("calibration_error", "", "lower", aggregate="calibration_error"),
    ),
    slices=(ecg_records.LENGTH_CLASS, ecg_records.NOISE_CLASS),
)
# Rare classes weigh in the loss as an option says; the challenge's score does not ask for that.
JUDGE = Judge("val_f1", "higher", keep="best", over=3)
