"""Mean-scale hyperprior: hyper-latents tell mean and standard deviation of every latent.

Minnen, Balle, Toderici, arXiv:1809.02736 (section 3, without the context model). Published: 31.03 dB at 0.290 bpp on
Kodak.
"""

import functools

import keras
from keras import ops

from models.codecs import codec
from models.codecs.hyperprior import Hyperprior
from models.codecs.inputs import inputs
from models.codecs.reconstructions import callbacks
from models.codecs.serving.latents import GaussianLatents
from models.codecs.serving.transforms import signatures
from models.contract.recipe import Recipe
from models.layers.hyper import LEAK, hyper_analysis, hyper_synthesis


@keras.saving.register_keras_serializable("kompakt")
class MeanScaleHyperprior(Hyperprior):
    """z = hyper_analysis(y); hyper_synthesis(z) gives mean and scale level of every latent."""

    SIGNED = True

    def hyper_transforms(self, channels, latents):
        """The two networks between latents and side information."""
        widths = (latents, 3 * latents // 2, 2 * latents)
        return hyper_analysis(latents, channels, LEAK), hyper_synthesis(channels, widths, LEAK)

    def split(self, parameters):
        """Outputs of the hyper-synthesis [B, h, w, 2M] -> (mean, level), both [B, h, w, M] float32."""
        mean, level = ops.split(parameters, 2, axis=-1)
        return codec.GAIN * mean, level + self.START_LEVEL


RECIPE = Recipe(
    name="mean_scale_hyperprior",
    shape="codec",
    summary="Mean-scale hyperprior image codec (arXiv:1809.02736)",
    config=codec.CodecConfig,
    presets={"small": codec.SMALL, "paper": codec.PAPER},
    build=functools.partial(codec.build, MeanScaleHyperprior),
    inputs=inputs,
    signatures=functools.partial(signatures, GaussianLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
