"""What the classifiers have in common: configuration, loss, named features, evaluation.

    pixels --stem--> stage1 --> ... --> stageN --average--> embedding --dense--> logits

The names are those of identity layers, by which a student's objective asks for features.
"""

import dataclasses
import json
from collections.abc import Collection

import keras
from keras import ops

from models.classifiers.products import ProductsConfig, replaced
from models.classifiers.samplers import SAMPLERS
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Search, option
from models.training import replicas


@dataclasses.dataclass(frozen=True)
class PicturesConfig(ProductsConfig):
    """Options of everything that is trained on labelled pictures: what is known of the data, and how they are drawn."""

    classes: int = option(0, "number of classes (0: as many as the training data have)", low=0)
    class_names: str = option("", "their names, a JSON list (empty: those of the training data)")
    image_size: int = option(0, "side of the pictures, pixels; others are cut square and resized (0: the first one's)")
    crop: int = option(0, "random shifts by up to so many pixels each way, filled with black", low=0)
    flip: bool = option(False, "whether pictures are mirrored half of the time")
    cutout: float = option(0.0, "largest share of a picture that is blanked (arXiv:1708.04552)", low=0.0, high=0.9)
    mixup: float = option(0.0, "alpha of mixup (arXiv:1710.09412); 0: none", low=0.0)
    label_noise: float = option(0.0, "share of the training labels that are wrong on purpose", low=0.0, high=1.0)
    noise_kind: str = option(
        "symmetric", "a wrong label is any other class, or the next one", choices=("symmetric", "pair")
    )
    noise_seed: int = option(1, "decides which labels are wrong, together with the pictures' ids", low=0)
    sampler: str = option("uniform", "how a batch's classes are drawn", choices=SAMPLERS)
    per_class: int = option(4, "examples of each class in a batch, unless the sampler is uniform", low=1)
    superclasses: str = option("", "superclass of each class, a JSON list, for the superclass_uniform sampler")
    int8: bool = option(False, "whether an int8 TFLite file is written beside the exported model")

    def __post_init__(self):
        super().__post_init__()
        if 0 < self.image_size < 8:
            raise ConfigError(f"image_size={self.image_size}: must be at least 8, or 0")
        if self.classes == 1:
            raise ConfigError("classes=1: there is nothing to tell apart")
        names = json_list("class_names", self.class_names)
        if names and self.classes and len(names) != self.classes:
            raise ConfigError(f"class_names: {len(names)} names for {self.classes} classes")

    @property
    def is_augmented(self) -> bool:
        """Whether a picture looks different from one epoch to the next."""
        return bool(self.crop or self.flip or self.cutout or self.mixup)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(PicturesConfig):
    """Options of a classifier."""

    width: int = option(16, "channels of the first stage", search=Search(choices=(8, 16, 32, 64)), low=4)


def json_list(name: str, text: str) -> list:
    """The list that an option holds as JSON; empty text is an empty list.

    Raises:
      ConfigError: the text is no JSON list.
    """
    try:
        value = json.loads(text) if text else []
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise ConfigError(f"{name}={text}: not a JSON list")
    return value


# Trains on two cores; no augmentation, so that a teacher's outputs can be kept.
SMALL = {"batch_size": 64, "steps": 1200, "steps_per_epoch": 100, "learning_rate": 3e-3, "weight_decay": 1e-3}
# The setting in which most figures on CIFAR are given (arXiv:1512.03385, section 4.2), with a cosine in place of steps.
PAPER = {"batch_size": 128, "steps": 64_000, "steps_per_epoch": 390, "learning_rate": 0.1, "optimizer": "sgd",
         "weight_decay": 5e-4, "gradient_clip_norm": 0.0, "crop": 4, "flip": True, "warmup_fraction": 0.01}  # fmt: skip


def tap(x, name: str):
    """Gives a tensor inside a network a name by which it can be asked for."""
    return keras.layers.Identity(name=name)(x)


def head(x, classes: int):
    """Averages maps [B, H, W, C] to the embedding [B, C] and gives its logits [B, K], float32 whatever the policy."""
    x = tap(keras.layers.GlobalAveragePooling2D(dtype="float32")(x), "embedding")
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)


def norm(x):
    """Batch normalisation whose running means follow within tens of steps, so that short trainings can be judged.

    Its statistics are of the whole batch, however many replicas share it.
    """
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=replicas.count() > 1)(x)


def norm_relu(x):
    """Batch normalisation and ReLU."""
    return keras.layers.ReLU()(norm(x))


def conv(x, filters: int, size: int = 3, strides: int = 1, dilation: int = 1):
    """Convolution without bias, as it stands before or behind a normalisation; He's initial weights."""
    return keras.layers.Conv2D(
        filters, size, strides, padding="same", dilation_rate=dilation, use_bias=False, kernel_initializer="he_normal"
    )(x)  # fmt: skip


class Classifier(Configured):
    """A classifier to train. Subclasses say in `body` what stands between the pixels and the last maps, or in `logits`
    what makes the whole network.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns logits [B, K] float32. `network` is the same as a
    Functional model, whose layers can be named in Keras' own `Distiller`.
    """

    config_class = ClassifierConfig

    def __init__(self, config: ClassifierConfig, **kwargs):
        super().__init__(config, **kwargs)
        seen = self.entry(config)
        self.network = replaced(keras.Model(seen, self.logits(seen, config), name="network"), config)
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy")]

    def entry(self, config):
        """What the network is given."""
        return keras.Input((config.image_size, config.image_size, 3), name="pixels")

    def logits(self, pixels, config):
        """Pixels [B, S, S, 3] in [0, 1] -> logits [B, K] float32."""
        centred = keras.layers.Rescaling(4.0, offset=-2.0)(pixels)
        return head(self.body(centred, config), config.classes)

    def body(self, x, config):
        """Centred pixels [B, S, S, 3] -> maps [B, h, w, C]; taps its stages as "stage1", "stage2", ..."""
        raise TypeError(f"{type(self).__name__} must say in `body` what it is made of")

    def call(self, x, training=None):
        """Logits of pixels, see the class."""
        return self.network(x, training=training)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features that can be asked for, in the order of the layers."""
        return [layer.name for layer in self.network.layers if isinstance(layer, keras.layers.Identity)]

    def features(self, names: Collection[str]) -> keras.Model:
        """A model on the same weights that gives a dict: "logits", and each named feature."""
        outputs = {name: self.network.get_layer(name).output for name in names}
        return keras.Model(self.network.inputs, outputs | {"logits": self.network.output}, name="features")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Cross-entropy with y [B, K], probabilities, of weighed examples; scalar, nats."""
        return ops.mean(weighed(cross_entropy(y, y_pred), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy and cross-entropy."""
        for tracker, value in zip(self.trackers, (hits(y, y_pred), cross_entropy(y, y_pred)), strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def cross_entropy(y, logits):
    """-sum_k y_k log softmax(logits)_k: probabilities and logits [B, K] -> nats [B] float32."""
    return -ops.sum(ops.cast(y, "float32") * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)


def hits(y, logits):
    """Whether the largest entries of [B, K] and [B, K] agree: 0 or 1, [B] float32."""
    return ops.cast(ops.argmax(y, axis=-1) == ops.argmax(logits, axis=-1), "float32")


def check_known(config, names: Collection[str] = ("classes", "image_size")) -> None:
    """Raises ConfigError unless what the training data say, the number of classes and the pictures' size, is known."""
    for name in names:
        if not getattr(config, name):
            raise ConfigError(f"{name}=0: it is taken from the training data, and there are none here; set it")


def build(model_class: type[Classifier], config: ClassifierConfig) -> Classifier:
    """Makes the classifier under its dtype policy and runs it once, so that every variable exists.

    Raises:
      ConfigError: the number of classes or the size of the pictures is not known.
    """
    check_known(config)
    with policy_of(config):
        model = model_class(config)
        model(ops.zeros((1, config.image_size, config.image_size, 3), "float32"))
    return model


EVALUATION = Evaluation(
    metrics=(
        Metric("accuracy", "", "higher", lower_bound=0.0, tolerance=0.02),
        Metric("top5_accuracy", "", "higher"),
        Metric("cross_entropy", "nats", "lower"),
        Metric("calibration_error", "", "lower", aggregate="calibration_error"),
    ),
)
