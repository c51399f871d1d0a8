"""Conditional probability codec: few learned centres, a map of importance, and a causal 3D network that knows symbols.

Mentzer, Agustsson, Tschannen, Timofte, Van Gool, arXiv:1801.04260. Published: MS-SSIM 0.975 at 0.370 bpp on Kodak.

    x --analysis--> latents, map --mask--> z --nearest centre--> q --synthesis--> x_hat
                                                     '--context (learns beside, hands nothing back)--> bits

Loss = distortion + bits of the context network + `rate_weight` max((bits + masked bits) / 2 - `target_bpp`, 0), all in
bits per pixel (eq. 4 to 7 there). Bits reach the encoder through the mask alone: channels that cost much are cut off.
Served, symbols are decoded along wavefronts through depth, rows and columns (`serving.volume_latents`).
"""

import dataclasses
import functools

import keras
from keras import ops

from models.codecs import codec
from models.codecs import residual_transforms as transforms
from models.codecs.inputs import inputs
from models.codecs.reconstructions import callbacks
from models.codecs.serving.transforms import signatures
from models.codecs.serving.volume_latents import VolumeLatents
from models.codecs.similarity import ms_ssim
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Recipe, Search, option
from models.entropy.densities.volume_context import VolumeContext
from models.layers.vector_quantizer import VectorQuantizer
from models.training import replicas

_CENTRE_DECAY = 1e-4  # of the centres' squares, in bits per pixel: without it they drift apart for ever


@dataclasses.dataclass(frozen=True)
class ConditionalProbabilityConfig(Config):
    """Options of the codec."""

    channels: int = option(128, "filters of the transforms (n)", search=Search(choices=(32, 48, 64, 128)), low=1)
    groups: int = option(5, "groups of three residual blocks, each way (B)", low=1, high=8)
    latents: int = option(32, "channels of the latents, the depth of the volume (K)", low=1)
    centres: int = option(6, "values that a latent can have (L)", low=2, high=64)
    features: int = option(24, "filters of the context network", low=1)
    importance: str = option(
        "soft", "mask of the latents: what the map says, that rounded up, or none", choices=("soft", "binary", "none")
    )
    target_bpp: float = option(0.5, "bits per pixel above which the rate weighs", low=0.0)
    rate_weight: float = option(4.0, "weight of bits per pixel above the target; 0: they are as they come", low=0.0)
    distortion: str = option("mse", "what pictures are trained for", choices=("mse", "ms_ssim"))
    lmbda: float = option(0.0025, "weight of distortion against bits per pixel: lmbda * 255^2 * MSE", low=0.0)
    similarity: float = option(5.0, "likewise of 1 - MS-SSIM, where that is trained for", low=0.0)
    normalised: bool = option(False, "whether the transforms normalise batches, frozen when served")
    store: bool = option(
        True, "whether what a PNG holds in hardly more bytes, graphics say, is served as that PNG", in_fingerprint=False
    )
    crop_size: int = option(160, "side of a training crop, pixels, a multiple of 8", low=16)

    rates = 1  # a model has one rate point

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size % transforms.STRIDE:
            raise ConfigError(f"crop_size={self.crop_size}: must be a multiple of {transforms.STRIDE}")


@keras.saving.register_keras_serializable("kompakt")
class ConditionalProbability(codec.Codec):
    """`analysis` masks its latents, `quantizer` makes symbols of them, `context` says how likely these are.

    `call` returns what `codec.Codec` does and "masked_bits" [B] float32, bits times mask, whose gradient reaches the
    mask alone; that of "bits" reaches the context network alone.
    """

    config_class = ConditionalProbabilityConfig
    stride = transforms.STRIDE

    def __init__(self, config: ConditionalProbabilityConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.halo = transforms.halo(config.groups)
        self.quantizer = VectorQuantizer(config.centres, mode="ste", name="quantizer")
        self.context = VolumeContext(config.centres, config.features, name="context")

    def transforms(self, config):
        """The networks from pixels to masked latents, and from quantised ones back."""
        masked = config.importance != "none"
        sizes = config.channels, config.groups
        importance = transforms.ImportanceMap(config.importance == "binary", name="importance") if masked else None
        network = transforms.analysis(*sizes, config.latents + masked, config.normalised)
        analysis = transforms.MaskedAnalysis(network, importance, name="masked_analysis")
        return analysis, transforms.synthesis(*sizes, config.latents, config.normalised)

    @property
    def beyond(self):
        """The value that the context network sees beyond the volume: that of the first centre."""
        return self.quantizer.centres[0, 0]

    def symbol_bits(self, values, symbols):
        """Bits of symbols int32 [B, h, w, K] with these values, by the context network; [B, h, w, K] float32."""
        logits = self.context(ops.stop_gradient(values), ops.stop_gradient(self.beyond))
        chosen = ops.one_hot(symbols, self.config.centres, dtype="float32")
        return -ops.sum(chosen * ops.log_softmax(logits, axis=-1), axis=-1) / ops.log(2.0)

    def call(self, x, training=None):
        """Codes and decodes pixels, see the class."""
        z, mask = self.analysis.with_mask(x)
        found = self.quantizer.assign(z, bool(training))
        bits = self.symbol_bits(found.value, found.symbols)
        x_hat = ops.cast(self.synthesis(found.value), "float32")
        masked = ops.sum(ops.stop_gradient(bits) * mask, axis=(1, 2, 3))
        batch = ops.shape(x)[0]
        return {"x_hat": x_hat, "bits": ops.sum(bits, axis=(1, 2, 3)), "masked_bits": masked,
                "lmbda": self.lmbda_at(self.rate_points(batch, False))}  # fmt: skip

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Loss of weighed examples, scalar, bits per pixel; the target is one of the whole batch, not of a picture."""
        bpp, mse = self._bpp_and_mse(x, y_pred)
        distortion = self.config.lmbda * 255.0**2 * mse
        if self.config.distortion == "ms_ssim":
            distortion = self.config.similarity * (1.0 - ms_ssim(ops.cast(x, "float32"), y_pred["x_hat"]))
        area = ops.cast(ops.shape(x)[1] * ops.shape(x)[2], "float32")
        soft = 0.5 * (ops.stop_gradient(bpp) + y_pred["masked_bits"] / area)
        above = ops.maximum(ops.mean(replicas.gathered(weighed(soft, sample_weight))) - self.config.target_bpp, 0.0)
        decay = _CENTRE_DECAY * ops.sum(ops.square(self.quantizer.centres))
        return ops.mean(weighed(distortion + bpp, sample_weight)) + self.config.rate_weight * above + decay

    def spending(self, x):
        """Where bits go, for pixels [B, H, W, 3] in [0, 1]: (bits, mask), [B, H/8, W/8, K] float32 each."""
        z, mask = self.analysis.with_mask(x)
        found = self.quantizer.assign(z, False)
        return self.symbol_bits(found.value, found.symbols), mask

    def estimated_bits(self, values):
        """Bits of each place by the float network: quantised latents [B, h, w, K] -> [B, h, w] float32."""
        return ops.sum(self.symbol_bits(values, self.quantizer.symbols(values)), axis=-1)


def build(config: ConditionalProbabilityConfig) -> ConditionalProbability:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = ConditionalProbability(config)
        model(ops.zeros((1, 32, 32, 3), "float32"))
    return model


RECIPE = Recipe(
    name="conditional_probability",
    shape="codec",
    summary="Image codec with a learned conditional probability model (arXiv:1801.04260)",
    config=ConditionalProbabilityConfig,
    presets={
        "small": {"channels": 32, "groups": 1, "latents": 16, "target_bpp": 0.4, "crop_size": 96, "batch_size": 8,
                  "steps": 1500, "learning_rate": 1e-3},
        "paper": {"batch_size": 30, "steps": 250_000, "steps_per_epoch": 5000, "learning_rate": 1e-4,
                  "distortion": "ms_ssim", "normalised": True, "rate_weight": 1.0, "target_bpp": 0.2},
    },
    build=build,
    inputs=inputs,
    signatures=functools.partial(signatures, VolumeLatents),
    evaluation=dataclasses.replace(codec.EVALUATION, comparable=("lmbda", "target_bpp", "distortion")),
    callbacks=callbacks,
    report=("rate_distortion", "spending"),
    batching=False,
)  # fmt: skip
