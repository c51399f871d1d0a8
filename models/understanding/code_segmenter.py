"""Segmentation of scenes from the codes of a learned codec (arXiv:1803.06131): DeepLab on the trunk of cResNet.

    latents --cResNet, dilated--> maps [--learned upsampling-->] --pyramid--> logits --bilinear--> a class a pixel

A map of a codec of stride 8 has DeepLab's output stride, so that nothing changes its resolution; of one of stride 16 it
is made twice as fine before the pyramid (`finer`). Published on VOC-2012, mean IoU at 0.0983 bpp: 54.62 on latents,
52.97 on decoded pictures (the second not re-read in its text).
"""

import dataclasses

import keras
from keras import ops

from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Recipe, option
from models.understanding import codecs, networks, options
from models.understanding.scene_inputs import adapt, inputs
from models.understanding.scene_serving import signatures

OUTPUT_STRIDE = 8  # pixels each way for a place of the logits' map
_DETAILED = 21  # classes whose own IoU is a metric; VOC's


@dataclasses.dataclass(frozen=True)
class CodeSegmenterConfig(options.CodeOptions):
    """Options of a segmenter of codes."""

    classes: int = option(0, "number of classes (0: as many as the training data have)", low=0, high=255)
    class_names: str = option("", "their names, a JSON list (empty: those of the training data)")
    rows: int = option(0, "height of the scenes in training, pixels; others are resized (0: the first one's)", low=0)
    columns: int = option(0, "their width, pixels (0: the first one's)", low=0)
    views: int = option(1, "versions of each training scene that are coded: itself, and moved ones", low=1, high=64)
    flip: bool = option(False, "whether moved ones are mirrored half of the time")
    shift: int = option(0, "pixels each way by which they are shifted at most", low=0)
    finer: int = option(0, "how much finer maps are made before the pyramid (0: to an output stride of 8)", low=0)
    rates: str = option("1,2,4", "distances of the pyramid's taps, places; the paper's are 6,12,18,24")

    def __post_init__(self):
        super().__post_init__()
        if self.classes == 1:
            raise ConfigError("classes=1: there is nothing to tell apart")
        if (self.views > 1) != (self.flip or self.shift > 0):
            raise ConfigError(f"views={self.views}: several views take flip or shift, and these several views")
        networks.numbers_of("rates", self.rates)

    def prepared(self, record):
        from models.understanding.scene_inputs import prepare

        return prepare(record, *self.sides)[0]

    def classes_in(self, record):
        from models.understanding.scene_inputs import prepare

        return prepare(record, *self.sides)[1]

    @property
    def sides(self) -> tuple[int, int]:
        return self.rows, self.columns

    def values(self, reader, record):
        from models.understanding.scene_inputs import values

        return values(reader, record, self)


@keras.saving.register_keras_serializable("kompakt")
class CodeSegmenter(options.WithCodec, Configured):
    """A segmenter with the codec whose codes it reads, which does not learn.

    `call` takes latents [B, h, w, M] float32 as the codec's synthesis would, or with `config.rgb` decoded pixels
    [B, H, W, 3] float32 in [0, 1], of any size, and returns logits [B, H', W', K] float32 for the pixels, the last rows
    and columns of which may lie beyond the picture.

    Raises:
      ConfigError: there is no such codec.
    """

    config_class = CodeSegmenterConfig

    def __init__(self, config: CodeSegmenterConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.codec = codecs.built(config)
        self.codec.trainable = False
        seen = keras.Input((None, None, config.depth), name="codes")
        self.network = keras.Model(seen, self.logits(seen, config), name="network")
        self.trackers = [keras.metrics.Mean(name=n) for n in ("accuracy", "cross_entropy")]

    def logits(self, codes, config):
        """Codes -> logits [B, H', W', K] float32."""
        x = networks.trunk(codes, config, dilated=True)
        stride = OUTPUT_STRIDE if config.rgb else self.codec.stride
        if (finer := config.finer or max(1, stride // OUTPUT_STRIDE)) > 1:
            x = keras.layers.Conv2DTranspose(4 * config.width, 2 * finer, finer, padding="same", name="finer")(x)
            x = keras.layers.ReLU()(x)
        x = networks.pyramid(x, config.classes, networks.numbers_of("rates", config.rates))
        return keras.layers.UpSampling2D(max(1, stride // finer), interpolation="bilinear", dtype="float32")(x)

    def call(self, x, training=None):
        """Logits of codes, see the class."""
        return self.network(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean cross-entropy of pixels with a class, of weighed scenes; scalar, nats.

        Args:
          y: classes [B, H, W] float32, of pixels without one -1.
        """
        return ops.mean(weighed(means(y, y_pred)[1], sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Running means of the pixels' accuracy and cross-entropy."""
        for tracker, value in zip(self.trackers, means(y, y_pred), strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def means(y, logits):
    """(share of pixels that are right, cross-entropy in nats), [B] float32 each, of the pixels with a class."""
    logits = ops.cast(logits[:, : ops.shape(y)[1], : ops.shape(y)[2]], "float32")
    known = ops.cast(y >= 0, "float32")
    places = ops.cast(ops.maximum(y, 0), "int32")
    wanted = ops.one_hot(places, logits.shape[-1])
    losses = -ops.sum(wanted * ops.log_softmax(logits), axis=-1)
    right = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == places, "float32")
    count = ops.maximum(ops.sum(known, axis=(1, 2)), 1.0)
    return tuple(ops.sum(known * values, axis=(1, 2)) / count for values in (right, losses))


def build(config: CodeSegmenterConfig) -> CodeSegmenter:
    """Makes the segmenter under its dtype policy and runs it once, so that every variable exists.

    Raises:
      ConfigError: the number of classes or the codec is not known.
    """
    if not config.classes:
        raise ConfigError("classes=0: it is taken from the training data, and there are none here; set it")
    with policy_of(config):
        model = CodeSegmenter(config)
        model(ops.zeros((1, 2, 2, config.depth), "float32"))
    return model


RECIPE = Recipe(
    name="code_segmenter",
    shape="scenes",
    summary="Segmentation of scenes from a codec's latents, DeepLab on cResNet (arXiv:1803.06131)",
    config=CodeSegmenterConfig,
    presets={
        "small": {"batch_size": 8, "steps": 1200, "steps_per_epoch": 100, "learning_rate": 2e-3, "weight_decay": 1e-3},
        "paper": {"batch_size": 10, "steps": 20_000, "steps_per_epoch": 1000, "learning_rate": 2.5e-4, "rows": 512,
                  "columns": 512, "optimizer": "sgd", "weight_decay": 5e-4, "views": 8, "flip": True, "width": 128,
                  "blocks": "4,10,3", "root_blocks": 3, "rates": "6,12,18,24", "codec": "conditional_probability"},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(
        metrics=(
            Metric("mean_iou", "", "higher", lower_bound=0.0, tolerance=0.02, aggregate="iou", title="mean IoU"),
            Metric("accuracy", "", "higher", title="accuracy of pixels"),
            Metric("cross_entropy", "nats", "lower"),
            Metric("bpp", "bpp", "lower"),
            *(Metric(f"iou_{place}", "", "higher", aggregate="iou", arguments={"place": place}, detail=True)
              for place in range(_DETAILED)),
        ),
        comparable=("rgb", "quality"),
    ),
    report=("codes", "scenes"),
    adapt=adapt,
    served=lambda model, config: (RECIPE, model, options.whole(config)),
    data="scenes",
    batching=False,
)  # fmt: skip
