"""Scale hyperprior: hyper-latents tell the standard deviation of every latent.

Balle, Minnen, Singh, Hwang, Johnston, arXiv:1802.01436 (figure 4, eq. 6 to 11). Published: 30.62 dB at 0.302 bpp on
Kodak. The hyper-synthesis speaks in table levels (`models.entropy.densities.gaussian`) in place of the paper's
exponential.
"""

import functools

import keras
from keras import ops

from models.codecs import codec
from models.codecs.inputs import inputs
from models.codecs.reconstructions import callbacks
from models.codecs.serving.latents import GaussianLatents
from models.codecs.serving.transforms import signatures
from models.contract.recipe import Recipe
from models.entropy.densities import gaussian
from models.entropy.densities.factorized import FactorizedPrior
from models.layers.hyper import STRIDE, hyper_analysis, hyper_synthesis
from models.layers.padding import pad_to_multiple


@keras.saving.register_keras_serializable("kompakt")
class Hyperprior(codec.Codec):
    """z = hyper_analysis(|y|) is coded with `prior`; hyper_synthesis(z) gives the scale level of every latent."""

    START_LEVEL = 24.0  # about 2 quantisation steps: untrained latents are neither all zero nor all escape
    HYPER_SPREAD = 10.0  # of hyper-latents, in their steps, that the prior expects at first
    SIGNED = False  # whether the hyper-analysis sees the latents' signs
    hyper_offsets = None  # float32 [4, 4, C], added to the hyper-synthesis' outputs by their place among 4x4

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.hyper_analysis, self.hyper_synthesis = self.hyper_transforms(config.channels, config.latents)
        self.prior = FactorizedPrior(init_scale=self.HYPER_SPREAD, dtype="float32", name="prior")

    def hyper_transforms(self, channels, latents):
        """The two networks between latents and side information."""
        return hyper_analysis(latents, channels, 0.0), hyper_synthesis(channels, (channels, channels, latents), 0.0)

    def hyper_latents(self, y):
        """Hyper-latents before rounding: [B, h, w, M] -> [B, ceil(h/4), ceil(w/4), N] float32."""
        y = pad_to_multiple(y if self.SIGNED else ops.abs(y), STRIDE)
        return ops.cast(self.hyper_analysis(y / codec.GAIN), "float32")

    def split(self, parameters):
        """Outputs of the hyper-synthesis [B, h, w, C] -> (mean, level), both [B, h, w, M] float32."""
        return ops.zeros_like(parameters), parameters + self.START_LEVEL

    def code(self, y, training):
        z_hat = self.discretize(self.hyper_latents(y), training)
        mean, level = self.split(ops.cast(self.hyper_synthesis(z_hat), "float32"))
        mean, level = (crop_like(p, y) for p in (mean, level))
        y_hat = self.discretize(y, training, mean)
        bits = self.prior(z_hat) + gaussian.bits(y_hat - mean, gaussian.scale_of(level))
        return self.drawn(y, y_hat, training, mean), bits

    def estimated_bits(self, y_hat, z_hat):
        """Bits [B] of coded latents [B, h, w, M] and hyper-latents by the float network and analytic densities."""
        mean, level = self.split(ops.cast(self.hyper_synthesis(z_hat), "float32"))
        mean, level = (crop_like(p, y_hat) for p in (mean, level))
        return self.prior(z_hat) + gaussian.bits(y_hat - mean, gaussian.scale_of(level))


def crop_like(parameters, y):
    """Cuts parameters [B, 4h', 4w', C] to the height and width of y (sizes that 4 does not divide are rounded up)."""
    return parameters[:, : ops.shape(y)[1], : ops.shape(y)[2]]


RECIPE = Recipe(
    name="hyperprior",
    shape="codec",
    summary="Scale-hyperprior image codec (arXiv:1802.01436)",
    config=codec.CodecConfig,
    presets={"small": codec.SMALL, "paper": codec.PAPER},
    build=functools.partial(codec.build, Hyperprior),
    inputs=inputs,
    signatures=functools.partial(signatures, GaussianLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
