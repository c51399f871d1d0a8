"""Lossless pictures by a small network on causal pixels: mixtures of logistics around a classic prediction.

Green is subtracted from red and blue. Each sub-pixel is coded under a mixture of logistics (arXiv:1701.05517) whose
means lie around half the median edge detector (LOCO-I, 2000), half a gradient-weighted mean (as CALIC's, 1997). The
network sees 24 decoded pixels, the prediction's errors there and their size, and the planes decoded before at the
position, all in units of the local contrast. The decoder is serial, along wavefronts (`causal_serving`), in exact
integers, and a part of the weights may be a picture's own (`causal_adaptation`).
"""

import dataclasses

import keras
from keras import ops

from models.codecs import inputs as pictures
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, Recipe, Search, option
from models.lossless import causal_features
from models.lossless.causal_network import CausalNetwork, picture_bits
from models.lossless.causal_serving import signatures
from models.lossless.evaluation import EVALUATION

_VALIDATION_SIDE = 256


@dataclasses.dataclass(frozen=True)
class CausalConfig(Config):
    """Options of the lossless codec."""

    width: int = option(64, "units of the trunk's layers", search=Search(choices=(32, 48, 64, 96, 128)), low=1)
    head: int = option(32, "units of the layer that a plane has of its own", search=Search(choices=(16, 32, 48)), low=1)
    mixtures: int = option(5, "logistics of a mixture", search=Search(choices=(3, 5, 8)), low=1)
    store: bool = option(True, "whether what a PNG holds in fewer bytes is served as that PNG", in_fingerprint=False)
    crop_size: int = option(48, "side of a training crop, pixels", low=8)


# The released weights' training is PHOTOGRAPHS.
SMALL = {"batch_size": 8, "steps": 1500, "crop_size": 32, "learning_rate": 2e-3, "average_from": 0.8}
PHOTOGRAPHS = {"batch_size": 12, "steps": 11_000, "steps_per_epoch": 250, "crop_size": 32, "learning_rate": 2e-3,
               "average_from": 0.8}  # fmt: skip


def inputs(files, config, training):
    """Batches of crops as of `models.codecs.inputs`; those of validation are larger, as fewer are shown."""
    if not training:
        side = max(_VALIDATION_SIDE, config.crop_size)
        config = dataclasses.replace(config, crop_size=side, batch_size=2)
    return pictures.inputs(files, config, training)


@keras.saving.register_keras_serializable("kompakt")
class CausalMixture(Configured):
    """`call` takes pixels [B, H, W, 3] float32 in [0, 1], multiples of 1/255, and returns
    {"x_hat": the same; "bits": [B] float32, bits an image}.
    """

    config_class = CausalConfig

    def __init__(self, config: CausalConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.network = CausalNetwork(config.width, config.head, config.mixtures, name="network")
        self.trackers = [keras.metrics.Mean(name="bpsp")]
        self.tables, self.reads = None, ()

    def call(self, x, training=None):
        """Bits of pictures, all positions at once, see the class."""
        levels = ops.round(255.0 * ops.cast(x, "float32"))
        table = ops.convert_to_tensor(causal_features.logarithms())
        return {"x_hat": x, "bits": ops.sum(picture_bits(levels, self.network, table), -1)}

    def _bpsp(self, x, outputs):
        return outputs["bits"] / ops.cast(3 * ops.shape(x)[1] * ops.shape(x)[2], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean bits per sub-pixel, scalar."""
        return ops.mean(weighed(self._bpsp(x, y_pred), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Mean bits per sub-pixel."""
        self.trackers[0].update_state(self._bpsp(x, y_pred))
        return self.get_metrics_result()


def build(config: CausalConfig) -> CausalMixture:
    """Makes the model under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = CausalMixture(config)
        model(ops.zeros((1, 8, 8, 3), "float32"))
    return model


RECIPE = Recipe(
    name="causal_mixture",
    shape="codec",
    summary="Lossless codec: a small network on causal pixels, mixtures of logistics, serial along wavefronts",
    config=CausalConfig,
    presets={"small": SMALL, "photographs": PHOTOGRAPHS, "paper": PHOTOGRAPHS},
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=EVALUATION,
    report=("lossless",),
    batching=False,
)
