"""Joint autoregressive and hierarchical codec: each latent's distribution from side information and decoded neighbours.

Minnen, Balle, Toderici, arXiv:1809.02736 (section 2, figure 2). Published: 30.93 dB at 0.264 bpp on Kodak. Decoding
visits the latents in causal order: `order` "raster" one position after the other as published, "wavefront" all
positions of a diagonal whose neighbours are known at once, which gives the same distributions in fewer steps.
"""

import dataclasses
import functools

import keras
from keras import ops

from models.codecs import codec
from models.codecs.inputs import inputs
from models.codecs.mean_scale_hyperprior import MeanScaleHyperprior
from models.codecs.reconstructions import callbacks
from models.codecs.serving.serial_latents import ContextLatents
from models.codecs.serving.transforms import signatures
from models.contract.recipe import Recipe, option
from models.entropy.densities import gaussian
from models.layers.conv import MaskedConv2D
from models.layers.hyper import LEAK


@dataclasses.dataclass(frozen=True)
class AutoregressiveConfig(codec.CodecConfig):
    """A codec's options and the order of decoding."""

    order: str = option("wavefront", "order in which latents are coded", choices=("wavefront", "raster"))


@keras.saving.register_keras_serializable("kompakt")
class Autoregressive(MeanScaleHyperprior):
    """Mean and level of a latent from `context` (what was decoded before it) and the hyper-synthesis."""

    config_class = AutoregressiveConfig

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        m = config.latents
        self.context = MaskedConv2D(2 * m, 5, name="context")
        self.fusion = keras.Sequential(
            [
                keras.Input((None, None, 4 * m)),
                keras.layers.Conv2D(10 * m // 3, 1, data_format="channels_last"),
                keras.layers.LeakyReLU(LEAK),
                keras.layers.Conv2D(8 * m // 3, 1, data_format="channels_last"),
                keras.layers.LeakyReLU(LEAK),
                keras.layers.Conv2D(2 * m, 1, data_format="channels_last"),
            ],
            name="fusion",
        )

    def _parameters(self, y_context, z_hat):
        """(mean, level) of every latent in one masked pass; y_context [B, h, w, M] are the decoded latents."""
        side = ops.cast(self.hyper_synthesis(z_hat), "float32")[:, : ops.shape(y_context)[1], : ops.shape(y_context)[2]]
        known = ops.cast(self.context(y_context / codec.GAIN), "float32")
        return self.split(ops.cast(self.fusion(ops.concatenate([side, known], axis=-1)), "float32"))

    def code(self, y, training):
        z_hat = self.discretize(self.hyper_latents(y), training)
        # In training the noisy latents are the context; outside, plain rounding stands in for the serial decoder's.
        y_context = self.discretize(y, training)
        mean, level = self._parameters(y_context, z_hat)
        y_hat = y_context if training else self.discretize(y, False, mean)
        bits = self.prior(z_hat) + gaussian.bits(y_hat - mean, gaussian.scale_of(level))
        return self.drawn(y, y_hat, training, mean), bits

    def estimated_bits(self, y_hat, z_hat):
        """Bits [B] of coded latents [B, h, w, M] and hyper-latents by the float network and analytic densities."""
        mean, level = self._parameters(y_hat, z_hat)
        return self.prior(z_hat) + gaussian.bits(y_hat - mean, gaussian.scale_of(level))


RECIPE = Recipe(
    name="autoregressive",
    shape="codec",
    summary="Joint autoregressive and hierarchical image codec (arXiv:1809.02736)",
    config=AutoregressiveConfig,
    presets={"small": codec.SMALL, "paper": codec.PAPER | {"channels": 192, "latents": 192}},
    build=functools.partial(codec.build, Autoregressive),
    inputs=inputs,
    signatures=functools.partial(signatures, ContextLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
