"""EDIC: channel attention, a Gaussian mixture for every latent, and enhancement after the synthesis.

Liu, Lu, Hu, Xu, arXiv:2002.03370. The authors released no code; what the paper leaves open is chosen here and can be
switched: `attention`, `components` and `enhancement`. Attention and enhancement start close to the identity, so that
training starts from the plain transforms.
"""

import dataclasses
import functools

import keras
from keras import layers, ops

from models.codecs import codec
from models.codecs.hyperprior import Hyperprior, crop_like
from models.codecs.inputs import inputs
from models.codecs.reconstructions import callbacks
from models.codecs.serving.latents import MixtureLatents
from models.codecs.serving.transforms import signatures
from models.contract.recipe import Recipe, Search, option
from models.entropy.densities import gaussian, mixture
from models.layers.attention import ChannelAttention
from models.layers.enhancement import Enhancement
from models.layers.hyper import LEAK, hyper_analysis, hyper_synthesis


@dataclasses.dataclass(frozen=True)
class EdicConfig(codec.CodecConfig):
    """A codec's options and the three parts of EDIC."""

    attention: bool = option(True, "channel attention in the analysis")
    components: int = option(
        3, "Gaussians of a latent's mixture (K)", search=Search(choices=(1, 2, 3, 5)), low=1, high=5
    )
    head_width: int = option(2, "hidden width of the mixture's network, in K times the latents", low=1)
    enhancement: str = option("half", "resolution of the enhancement", choices=("off", "half", "full"))
    enhancement_filters: int = option(48, "channels of the enhancement", search=Search(choices=(16, 24, 48)), low=1)


@keras.saving.register_keras_serializable("kompakt")
class Edic(Hyperprior):
    """z = hyper_analysis(y); hyper_synthesis(z) gives means, levels and weights of K Gaussians for every latent."""

    config_class = EdicConfig
    SIGNED = True

    def transforms(self, config):
        """Attention after the second normalisation and on the latents; enhancement on the pixels."""
        analysis, synthesis = super().transforms(config)
        if config.attention:
            *first, third, third_gdn, last, gain = analysis.layers
            analysis = keras.Sequential(
                [keras.Input((None, None, 3)), *first, ChannelAttention(name="attention"), third, third_gdn, last,
                 ChannelAttention(name="latent_attention"), gain],
                name="analysis",
            )  # fmt: skip
        if config.enhancement != "off":
            factor = {"half": 2, "full": 1}[config.enhancement]
            enhancement = Enhancement(config.enhancement_filters, factor, name="enhancement")
            synthesis = keras.Sequential(
                [keras.Input((None, None, config.latents)), *synthesis.layers, enhancement], name="synthesis"
            )
        return analysis, synthesis

    def hyper_transforms(self, channels, latents):
        """The two networks between latents and side information; the second ends in the mixture's 1x1 head."""
        k = self.config.components
        trunk = hyper_synthesis(channels, (latents, latents, latents), LEAK)
        wide, outputs = self.config.head_width * k * latents, (2 + (k > 1)) * k * latents
        head: list = []
        for width in (k * latents, wide, outputs):
            head += [layers.LeakyReLU(LEAK), layers.Conv2D(width, 1, data_format="channels_last")]
        return (
            hyper_analysis(latents, channels, LEAK),
            keras.Sequential([keras.Input((None, None, channels)), *trunk.layers, *head], name="hyper_synthesis"),
        )

    def split(self, parameters):
        """Outputs of the hyper-synthesis -> (means, levels, logits), [B, h, w, K, M] float32 each."""
        k = self.config.components
        batch, height, width, _ = ops.shape(parameters)
        parts = ops.reshape(parameters, (batch, height, width, -1, k, self.config.latents))
        means, levels = codec.GAIN * parts[..., 0, :, :], parts[..., 1, :, :] + self.START_LEVEL
        return means, levels, parts[..., 2, :, :] if k > 1 else ops.zeros_like(means)

    def estimated_bits(self, y_hat, z_hat):
        """Bits [B] of coded latents [B, h, w, M] and hyper-latents by the float network and analytic densities."""
        parameters = crop_like(ops.cast(self.hyper_synthesis(z_hat), "float32"), y_hat)
        means, levels, logits = self.split(parameters)
        return self.prior(z_hat) + mixture.bits(y_hat, means, gaussian.scale_of(levels), logits)

    def code(self, y, training):
        z_hat = self.discretize(self.hyper_latents(y), training)
        y_hat = self.discretize(y, training)  # a mixture has no mean to round about
        return self.drawn(y, y_hat, training), self.estimated_bits(y_hat, z_hat)


RECIPE = Recipe(
    name="edic",
    shape="codec",
    summary="Attention, Gaussian mixtures and enhancement in an image codec (arXiv:2002.03370)",
    config=EdicConfig,
    presets={
        "small": codec.SMALL | {"head_width": 1, "enhancement_filters": 24},
        "paper": codec.PAPER,
    },
    build=functools.partial(codec.build, Edic),
    inputs=inputs,
    signatures=functools.partial(signatures, MixtureLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
