"""Face recognition by an embedding: two pictures show one person where the angle between their unit vectors is small.

    pixels --backbone--> features --dense, normalisation--> vector --over its length--> embedding --head--> logits

The head tells the persons of the training apart, with a margin on the angle to the own one: ArcFace (Deng et al.,
arXiv:1801.07698, eq. 3), CosFace (Wang et al., arXiv:1801.09414, eq. 4), or plain softmax without one. Persons of the
validation and the test are no classes of it: what counts is whether pairs of them are told apart, and by that the epoch
is chosen which a training gives back.
"""

import dataclasses

import keras
from keras import ops

from models.classifiers.named import classifier_recipe, settings_of
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Recipe, Search, option
from models.contract.training import Judge
from models.faces import mobilefacenet, verification
from models.faces.decision import callbacks
from models.faces.inputs import adapt, inputs
from models.faces.margins import HEADS, PairErrors, margin_loss, neighbour_loss
from models.faces.serving import signatures
from models.training import replicas

SAMPLERS = ("uniform", "class_uniform")
MARGINS = {"arcface": 0.5, "cosface": 0.35, "softmax": 0.0}  # those of the papers, where none is set


@dataclasses.dataclass(frozen=True)
class FaceConfig(Config):
    """Options of a network for faces."""

    classes: int = option(0, "persons that the head tells apart (0: those of the training data)", low=0)
    image_size: int = option(0, "side of the pictures, pixels (0: that of the first one, as far as it is taken)", low=0)
    central: float = option(
        1.0, "share of a picture's shorter side that is taken, around its centre (0.512 of LFW, deep-funneled: 128 of "
        "250 pixels)", low=0.05, high=1.0,
    )  # fmt: skip
    backbone: str = option(mobilefacenet.NAME, "mobilefacenet, or the recipe of a classifier")
    backbone_settings: str = option("", "options of that recipe: KEY=VALUE,KEY=VALUE")
    width_percent: int = option(50, "channels of mobilefacenet in percent of the published network", low=10, high=200)
    depth: int = option(6, "most blocks of a stage of mobilefacenet; 6 is the published network", low=1, high=6)
    embedding: int = option(128, "length of the embedding", search=Search(choices=(64, 128, 256, 512)), low=2)
    head: str = option("arcface", "loss over the training's persons", choices=HEADS)
    margin: float = option(
        -1.0, "of the own person: radians of arcface, cosine of cosface; -1: the paper's (0.5, 0.35)",
        low=-1.0, high=1.5,
    )  # fmt: skip
    scale: float = option(64.0, "factor on the cosines before the softmax", low=1.0)
    false_accept_rate: float = option(
        0.01, "share of the validation's impostor pairs that the threshold of `verify` accepts at most",
        low=0.0, high=0.5,
    )  # fmt: skip
    crop: int = option(0, "random shifts by up to so many pixels each way, filled with black", low=0)
    flip: bool = option(True, "whether pictures are mirrored half of the time")
    cutout: float = option(0.0, "largest share of a picture that is blanked (arXiv:1708.04552)", low=0.0, high=0.9)
    sampler: str = option("uniform", "how a batch's persons are drawn", choices=SAMPLERS)
    per_class: int = option(4, "pictures of each person in a batch, unless the sampler is uniform", low=1)

    def __post_init__(self):
        super().__post_init__()
        if 0 < self.image_size < 8:
            raise ConfigError(f"image_size={self.image_size}: must be at least 8, or 0")
        if self.classes == 1:
            raise ConfigError("classes=1: there is nobody to tell apart")
        if -1.0 < self.margin < 0.0:
            raise ConfigError(f"margin={self.margin}: must be at least 0, or -1 for the paper's")
        if self.backbone != mobilefacenet.NAME:
            backbone(self)
        elif self.backbone_settings:
            raise ConfigError("backbone_settings: mobilefacenet has the options width_percent and depth")

    @property
    def used_margin(self) -> float:
        """The margin that the loss takes."""
        return MARGINS[self.head] if self.margin < 0 else self.margin

    @property
    def mixup(self) -> float:
        """None: a mixture of two persons is nobody."""
        return 0.0


def backbone(config: FaceConfig) -> tuple[Recipe, Config]:
    """The classifier's recipe that is the backbone, with its configuration.

    Raises:
      ConfigError: there is none of that name, or an option is wrong; a budget takes phases of its own.
    """
    recipe = classifier_recipe("backbone", config.backbone)
    shared = {"classes": 2, "image_size": config.image_size, "precision": config.precision}
    made = recipe.make_config("small", shared | settings_of("backbone_settings", config.backbone_settings))
    if made.budget:
        raise ConfigError("backbone_settings: a budget of multiplications is for classifiers alone")
    return recipe, made


@keras.saving.register_keras_serializable("kompakt")
class Face(Configured):
    """A network for faces to train.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] and returns {"embedding": unit vectors [B, D], "logits": [B, C]},
    float32: cosines to the head's directions, or plain logits of the head "softmax". `network` is the Functional model
    from pixels to the vector before it is divided by its length.

    `decision`, float32 [3], is what `verify` decides by: the threshold, the share of the validation's impostor pairs
    that it accepts, and how many of these there were (`models.faces.decision`).
    """

    config_class = FaceConfig

    def __init__(self, config: FaceConfig, **kwargs):
        super().__init__(config, **kwargs)
        pixels = keras.Input((config.image_size, config.image_size, 3), name="pixels")
        x = keras.layers.Dense(config.embedding, use_bias=False, dtype="float32")(_features(pixels, config))
        x = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=replicas.count() > 1, dtype="float32"
        )(x)  # fmt: skip
        x = keras.layers.Identity(name="embedding", dtype="float32")(x)
        self.network = keras.Model(pixels, x, name="network")
        # Angles of a thousandth of a radian count: neither is cast to half precision.
        exact = {"dtype": "float32", "autocast": False}
        self.head = self.add_weight(
            shape=(config.embedding, config.classes), initializer="glorot_uniform", name="head", **exact
        )
        self.decision = self.add_weight(shape=(3,), initializer=_nobody, name="decision", trainable=False, **exact)
        self.errors = PairErrors()

    def call(self, x, training=None):
        """Embeddings and logits of pixels, see the class."""
        vector = ops.cast(self.network(x, training=training), "float32")
        unit = ops.normalize(vector, axis=-1, epsilon=1e-12)
        if self.config.head == "softmax":
            logits = ops.matmul(vector, self.head)
        else:
            directions = ops.normalize(self.head, axis=0, epsilon=1e-12)
            logits = ops.clip(ops.matmul(unit, directions), -1.0, 1.0)
        return {"embedding": unit, "logits": logits}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Scalar, nats: in training the head's, of y int [B] in [0, classes); else that of neighbours within the batch,
        whose persons the head need not know."""
        y, unit = ops.cast(y, "int32"), y_pred["embedding"]
        if training:
            losses = margin_loss(y_pred["logits"], y, self.config.head, self.config.used_margin, self.config.scale)
        else:
            everybody, start = replicas.gathered(unit), replicas.start(ops.shape(unit)[0])
            losses = neighbour_loss(unit, y, everybody, replicas.gathered(y), start, self.config.scale)
        return ops.mean(weighed(losses, sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The equal error rate of the pairs within batches, in training of the training's own persons."""
        embeddings, labels = replicas.gathered(y_pred["embedding"]), replicas.gathered(ops.cast(y, "int32"))
        self.errors.update_state(ops.stop_gradient(embeddings), labels)
        return self.get_metrics_result()


def _nobody(shape, dtype=None):
    """A threshold that accepts no pair, before one was chosen."""
    return ops.convert_to_tensor([2.0, 0.0, 0.0], dtype)


def _features(pixels, config: FaceConfig):
    """Pixels [B, S, S, 3] in [0, 1] -> features [B, F] of the backbone."""
    if config.backbone == mobilefacenet.NAME:
        centred = keras.layers.Rescaling(2.0, offset=-1.0)(pixels)
        return mobilefacenet.maps(centred, config.width_percent, config.depth)
    recipe, made = backbone(config)
    network = recipe.build(made).network
    if "embedding" not in [layer.name for layer in network.layers]:
        raise ConfigError(f"backbone={config.backbone}: gives no embedding")
    return keras.Model(network.inputs, network.get_layer("embedding").output, name="backbone")(pixels)


def build(config: FaceConfig) -> Face:
    """Makes the model under its dtype policy and runs it once, so that every variable exists.

    Raises:
      ConfigError: the number of persons or the size of the pictures is not known.
    """
    for name in ("classes", "image_size"):
        if not getattr(config, name):
            raise ConfigError(f"{name}=0: it is taken from the training data, and there are none here; set it")
    with policy_of(config):
        model = Face(config)
        model(ops.zeros((1, config.image_size, config.image_size, 3), "float32"))
    return model


def figures(score: str = "cosine", prefix: str = "", bounded: bool = True) -> tuple[Metric, ...]:
    """The figures of `components.evaluation.verification`, and the ends of their intervals as details.

    Args:
      score: by which pairs are told apart, as of the aggregate. prefix: before the names, and before the titles with
        a blank for each "_". bounded: whether the equal error rate can refuse a model.
    """

    def metric(name, title, better, arguments, **bounds):
        name, title = prefix + name, prefix.replace("_", " ") + title
        arguments = arguments | ({"score": score} if score != "cosine" else {})
        ends = [
            Metric(f"{name}_{end}", "", better, aggregate="verification", arguments=arguments | {"end": end},
                   title=f"{title}, {end} end of its interval", detail=True)
            for end in ("low", "high")
        ]  # fmt: skip
        return Metric(name, "", better, aggregate="verification", arguments=arguments, title=title, **bounds), *ends

    rates = [
        metric(f"tar_at_far_{text}", f"TAR at FAR {text}", "higher", {"figure": "tar", "far": far})
        for text, far in verification.RATES.items()
    ]
    return (
        # Worse than a coin is no recogniser.
        *metric("eer", "equal error rate", "lower", {"figure": "eer"},
                **({"upper_bound": 0.5, "tolerance": 0.02} if bounded else {})),
        *metric("pair_accuracy", "accuracy by folds of pairs", "higher", {"figure": "accuracy"}),
        *(one for found in rates for one in found),
        *metric("rank1", "1:N rank 1", "higher", {"figure": "rank1"}),
    )  # fmt: skip


# Trains on two cores in two minutes.
SMALL = {"batch_size": 96, "steps": 500, "steps_per_epoch": 50, "learning_rate": 3e-3, "weight_decay": 1e-3,
         "width_percent": 25, "depth": 2, "embedding": 64, "scale": 24.0, "margin": 0.3}  # fmt: skip
# insightface's arcface_torch for MobileFaceNet, with a cosine in place of its polynomial.
PAPER = {"batch_size": 512, "steps": 400_000, "steps_per_epoch": 2000, "learning_rate": 0.4, "optimizer": "sgd",
         "weight_decay": 1e-4, "gradient_clip_norm": 5.0, "image_size": 112, "width_percent": 100,
         "embedding": 512}  # fmt: skip
RECIPE = Recipe(
    name="face",
    shape="face",
    summary="Face embedding with a margin on the angle (arXiv:1801.07698, arXiv:1801.09414, arXiv:1804.07573)",
    data="faces",
    config=FaceConfig,
    presets={"small": SMALL, "paper": PAPER},
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(metrics=figures()),
    adapt=adapt,
    callbacks=callbacks,
    judge=Judge("val_eer", "lower", keep="best", over=2),
    report=("verification",),
)
