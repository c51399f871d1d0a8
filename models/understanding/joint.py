"""Training of a codec and a network on its codes together (arXiv:1803.06131, section 6); the recipe for classifiers.

    x --analysis--> y --rounded, gradient passed on--> latents --cResNet--> class
                    '--> bits                             '--synthesis--> x_hat

Loss = cross-entropy + gamma (distortion + weight max(bits a pixel - target, 0)), started from a network that was
trained behind a codec that stayed. What is pushed is such a network again, and beside it, in `assets.extra/codec`, its
codec with the signatures that codecs have. Segmenters are `models.understanding.joint_segments`.
"""

import dataclasses
import json
import os
import pathlib
from typing import ClassVar

import keras
from keras import ops

from models.classifiers import classifier
from models.classifiers.inputs import adapt as adapt_to_data
from models.classifiers.inputs import inputs
from models.classifiers.named import check_classes, settings_of
from models.contract import registry
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of, resolved_precision
from models.contract.recipe import Config, ConfigError, Evaluation, Recipe, option
from models.contract.training import Phase
from models.publishing import pushed
from models.training import replicas
from models.understanding import code_classifier, codecs
from models.understanding.serving import signatures

CODEC = "codec"  # folder of the codec beside the pushed model
STRIDE = 16  # pixels each way for a place of the latents
MODEL = "what it starts from: the path of a pushed network on codes, or its recipe, trained first"
_BATCHES = 8  # from which the target and gamma are told
_QUANTISATION = "mixed"  # rounded latents are drawn and classified, the bits are those of noisy ones


@dataclasses.dataclass(frozen=True)
class JointOptions(Config):
    """Options of a joint training, of whatever learns from codes.

    Attributes:
      original: the recipe of the network that it starts from.
    """

    original: ClassVar[Recipe] = code_classifier.RECIPE

    model: str = option(original.name, MODEL, is_model=True)
    model_settings: str = option("", "options of a network that is trained first: KEY=VALUE,KEY=VALUE")
    gamma: float = option(
        0.0, "weight of distortion and rate (0: so that its gradient by the latents is as large as the network's)",
        low=0.0,
    )  # fmt: skip
    rate_weight: float = option(
        10.0, "weight of the bits a pixel above the target, in those of the codec's loss", low=0.0
    )
    target_bpp: float = option(0.0, "bits a pixel that are free (0: as many as at the start)", low=0.0)
    quantisation: str = option(
        "mixed", "latents whose bits training counts: noisy ones, or rounded ones, which leave the encoder alone",
        choices=("mixed", "rounded"),
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        for name in ("budget", "int8", "init", "mixup"):
            if getattr(self, name, None):
                raise ConfigError(f"{name}={getattr(self, name)}: not for a joint training; leave it out")
        if is_trained_first(self):
            recipe_to_train(self)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the pictures in training, pixels."""
        raise TypeError(f"{type(self).__name__} must say in `sides` how large pictures are")

    def batches(self, files, training: bool):
        """Batches of pixels [B, H, W, 3] float32 in [0, 1] and what the network is to say of them."""
        raise TypeError(f"{type(self).__name__} must say in `batches` how records are read")


@dataclasses.dataclass(frozen=True)
class JointConfig(JointOptions, classifier.PicturesConfig):
    """Options of a joint training with a classifier."""

    @property
    def sides(self) -> tuple[int, int]:
        return self.image_size, self.image_size

    def batches(self, files, training: bool):
        return inputs(files, self, training)


def is_trained_first(config: JointOptions) -> bool:
    """Whether the pair is to be trained, not one that exists."""
    return config.model in registry.modules().values()


def recipe_to_train(config: JointOptions) -> tuple[Recipe, Config]:
    """The recipe and configuration of the pair that is trained first: its small preset, with `model_settings`.

    Raises:
      ConfigError: another recipe, or unknown options.
    """
    recipe = config.original
    if config.model != recipe.name:
        raise ConfigError(f"model={config.model}: wanted is {recipe.name} or a pushed one")
    shared = {name: getattr(config, name) for name in ("precision", "seed", "classes", "class_names")}
    sides = {name: side for name in ("image_size", "rows", "columns") if (side := getattr(config, name, 0))}
    return recipe, recipe.make_config("small", shared | sides | settings_of("model_settings", config.model_settings))


def described(path: str, wanted: Recipe) -> tuple[Config, Config]:
    """The configurations of a pushed network on codes and of its codec, as a joint training goes on with them.

    Args:
      wanted: the network's recipe.

    Raises:
      ConfigError: there is none, it sees decoded pictures, or its codec cannot be trained so.
    """
    _, own, config = pushed.chosen("model", path)
    if own.name != wanted.name:
        raise ConfigError(f"model={path}: {own.name}; wanted is a pushed {wanted.name}")
    recipe, of_codec = codecs.of_about(config.codec_about)
    if config.rgb:
        raise ConfigError(f"model={path}: it sees decoded pictures (rgb), not codes")
    if not hasattr(of_codec, "quantisation") or hasattr(of_codec, "dimension"):
        raise ConfigError(
            f"model={path}: the codes of {recipe.name} are learned centres, for which there is no such training"
        )
    of_codec = dataclasses.replace(of_codec, quantisation=_QUANTISATION)
    return dataclasses.replace(config, codec_about=codecs.about(recipe, of_codec)), of_codec


def check_given(config: JointOptions) -> None:
    """Checks the pair that a user gave; once one is trained first, it has settings and a path as well.

    Raises:
      ConfigError: as `described`, or there are settings.
    """
    if config.model_settings:
        raise ConfigError(f"model_settings={config.model_settings}: the model is not trained here; leave it out")
    described(config.model, config.original)


@keras.saving.register_keras_serializable("kompakt")
class Joint(Configured):
    """A codec and a network on its codes to train together.

    `call` takes pixels [B, H, W, 3] float32 in [0, 1] and returns {"logits": of the network, a classifier's [B, K],
    "x_hat": [B, H, W, 3], "bits": [B]}, float32.

    Raises:
      ConfigError: as `described`, or its weights cannot be read.
    """

    config_class = JointConfig

    def __init__(self, config: JointOptions, **kwargs):
        super().__init__(config, **kwargs)
        known, _ = described(config.model, config.original)
        self.pair = config.original.build(dataclasses.replace(known, precision=resolved_precision(config)))
        try:
            self.pair.load_weights(pushed.newest(config.model) / pushed.EXTRA / pushed.WEIGHTS)
        except (OSError, ValueError) as error:
            raise ConfigError(f"model={config.model}: its weights cannot be read: {error}") from error
        self.codec.trainable = True
        told = {"shape": (), "trainable": False, "dtype": "float32", "aggregation": "only_first_replica"}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **told)
        self.target = self.add_weight(name="target", initializer="zeros", **told)
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy", "bpp", "mse")]

    @property
    def codec(self):
        """The codec, which the network holds."""
        return self.pair.codec

    @property
    def point(self) -> float:
        """Rate point of the codec at the quality that the network was trained for."""
        return self.pair.config.quality / 100 * (self.codec.config.rates - 1)

    def code(self, x, training: bool):
        """(latents as the synthesis takes them, [B, h, w, M], bits [B]) of pixels."""
        y, inverse = ops.cast(self.codec.analysis(x), "float32"), 1.0
        if self.codec.gain_units is not None:
            gain, inverse = self.codec.gain_units.gains(ops.full((ops.shape(y)[0],), self.point))
            y = y * gain
        y_hat, bits = self.codec.code(y, training and self.config.quantisation == "mixed")
        return (y + ops.stop_gradient(y_hat - y)) * inverse, bits

    def call(self, x, training=None):
        """Logits, pictures and bits of pixels, see the class."""
        latents, bits = self.code(x, bool(training))
        drawn = ops.cast(self.codec.synthesis(latents), "float32")
        return {"logits": self.pair.network(latents, training=training), "x_hat": drawn, "bits": bits}

    def judged(self, y, logits):
        """(share that is right, cross-entropy in nats), [B] float32 each, of what the network says."""
        return classifier.hits(y, logits), classifier.cross_entropy(y, logits)

    def parts(self, x, y, y_pred):
        """(cross-entropy in nats, distortion in bits a pixel, bits a pixel, mean squared error), [B] float32 each."""
        mse = ops.mean(ops.square(ops.cast(x, "float32") - y_pred["x_hat"]), axis=(1, 2, 3))
        bpp = y_pred["bits"] / ops.cast(ops.shape(x)[1] * ops.shape(x)[2], "float32")
        distortion = self.codec.lmbda_at(self.point) * 255.0**2 * mse
        return self.judged(y, y_pred["logits"])[1], distortion, bpp, mse

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The joint loss of weighed examples, scalar, nats; the target is one of the whole batch."""
        entropy, distortion, bpp, _ = self.parts(x, y, y_pred)
        rate = ops.mean(replicas.gathered(weighed(bpp, sample_weight)))
        above = self.config.rate_weight * ops.maximum(rate - self.target, 0.0)
        return ops.mean(weighed(entropy + self.gamma * distortion, sample_weight)) + self.gamma * above

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of accuracy, cross-entropy, the estimated bits a pixel and the squared error."""
        entropy, _, bpp, mse = self.parts(x, y, y_pred)
        right, _ = self.judged(y, y_pred["logits"])
        for tracker, value in zip(self.trackers, (right, entropy, bpp, mse), strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def build(config: JointConfig) -> Joint:
    """Loads the pair and runs it once, so that every variable exists.

    Raises:
      ConfigError: as `Joint` and `fitted`, or the number of classes or the pictures' size is not known.
    """
    classifier.check_known(config)
    return together(Joint, config)


def together(model_class: type[Joint], config: JointOptions) -> Joint:
    """What `build` gives, of a kind of joint training."""
    fitted(config)
    with policy_of(config):
        model = model_class(config)
        model(ops.zeros((1, *config.sides, 3), "float32"))
    return model


def fitted(config: JointOptions) -> JointOptions:
    """The configuration, checked against the pair's.

    Raises:
      ConfigError: other classes or others' order, or pictures whose sides are no multiple of 16.
    """
    known, _ = described(config.model, config.original)
    check_classes(config, known)
    for name in ("image_size", "rows", "columns"):
        if getattr(config, name, 0) % STRIDE:
            raise ConfigError(
                f"{name}={getattr(config, name)}: a joint training takes multiples of the codec's stride, {STRIDE}"
            )
    return config


def adapt(config: JointConfig, files):
    """Fills in classes and picture size as the training records and the pair have them.

    Raises:
      ConfigError: as of `models.classifiers.inputs.adapt` and `fitted`.
    """
    known, _ = described(config.model, config.original)
    return fitted(adapt_to_data(dataclasses.replace(config, image_size=config.image_size or known.image_size), files))


def phases(config: JointOptions, files):
    """One, before which target and gamma are told."""
    yield Phase("joint", config.steps, prepare=prepare)


def prepare(model: Joint, config: JointOptions, files) -> None:
    """Sets the target to the bits at the start and gamma so that the two gradients are alike, if nothing is said."""
    from models.understanding import balance  # TensorFlow, which training does without

    rate, ratio = balance.at_start(model, config.batches(files.train, True).take(_BATCHES))
    model.target.assign(config.target_bpp or rate)
    model.gamma.assign(config.gamma or ratio)


def served(model: Joint, config: JointOptions):
    """The network with the codec as it is now."""
    return config.original, model.pair, described(config.model, config.original)[0]


def beside(model: Joint, config: JointOptions, files, directory: str | os.PathLike) -> None:
    """Writes the codec, with its ordinary signatures, into a folder beside the pushed model; and where both started."""
    from models.publishing.export import export

    recipe, of_codec = codecs.of_about(described(config.model, config.original)[0].codec_about)
    export(recipe, of_codec, model.codec, str(pathlib.Path(directory) / CODEC))
    said = {"model": config.model, "gamma": float(model.gamma), "target_bpp": float(model.target)}
    (pathlib.Path(directory) / "joint.json").write_text(json.dumps(said), encoding="utf-8")


RECIPE = Recipe(
    name="joint_codes",
    shape="joint",
    summary="Joint training of a codec and the classifier of its codes (arXiv:1803.06131)",
    config=JointConfig,
    presets={
        "small": {"batch_size": 16, "steps": 800, "steps_per_epoch": 100, "learning_rate": 1e-4},
        "paper": {"batch_size": 64, "steps": 64_000, "steps_per_epoch": 1000, "learning_rate": 1e-5, "flip": True},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(metrics=code_classifier.RECIPE.evaluation.metrics),
    report=("joint", "codes", "confusions"),
    adapt=adapt,
    served=served,
    beside=beside,
    labelled=True,
    phases=phases,
    batching=False,
)
