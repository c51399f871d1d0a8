"""Lapped hyperprior: a lapped transform that returns the whole picture, with a mean-scale hyperprior, for high rates.

At some bits a pixel what is lost in a transform costs more than what it saves. So this one has as many latents as
numbers in a picture, is linear but for an enhancement behind it, and starts as a cosine transform of blocks of 8x8
pixels of rotated colours (Ahmed, Natarajan, Rao 1974); trained, its filters reach over the blocks around (Malvar,
Staelin 1989, "The LOT: transform coding without blocking effects"). The entropy model is a hyperprior's
(arXiv:1802.01436) that tells means of three latents of 192, and has tails of its own; its hyper-analysis sees
logarithms of the latents, as it is to tell scales over three orders of magnitude, and starts as means over their
neighbourhoods.
"""

import dataclasses
import functools
import math

import keras
from keras import layers, ops

from models.codecs import codec
from models.codecs.hyperprior import Hyperprior, crop_like
from models.codecs.inputs import inputs
from models.codecs.lapped.basis import BLOCK, COLOURS, GROUP
from models.codecs.lapped.start import FINE, SCALE, start
from models.codecs.reconstructions import callbacks
from models.codecs.serving.latents import ScaleMixtureLatents
from models.codecs.serving.transforms import signatures
from models.contract.precision import policy_of
from models.contract.recipe import Recipe, option
from models.entropy.densities import gaussian
from models.entropy.densities.scale_mixture import ScaleMixture
from models.layers.conv import SubPixelConv2D, depth_to_space, space_to_depth
from models.layers.enhancement import Enhancement
from models.layers.hyper import LEAK, STRIDE, hyper_analysis, hyper_synthesis
from models.layers.padding import pad_to_multiple


@dataclasses.dataclass(frozen=True)
class LappedConfig(codec.CodecConfig):
    """A codec's options, for rates above those of the others; `activation` has nothing to choose here."""

    channels: int = option(64, "channels of the hyper-latents and width of the networks around them", low=4)
    latents: int = option(3 * BLOCK**2, "channels of the latents; 192 are as many numbers as pixels have", low=COLOURS)
    lmbda: float = option(0.64, "weight of distortion against rate: bpp + lmbda * 255^2 * MSE", low=0.0)
    rates: int = option(7, "rate points of one variable-rate model, lambda halved from each to the one below", low=1,
                        high=8)  # fmt: skip
    start: str = option("cosine", "first weights of the transforms: a cosine transform or noise",
                        choices=("cosine", "random"))  # fmt: skip
    grouped: int = option(
        0, "first latents of 4x4 positions that are transformed together once more", low=0, in_fingerprint=False
    )  # a second kernel tells models apart
    enhancement_filters: int = option(32, "channels of the enhancement behind the synthesis", low=1)

    @property
    def step(self) -> float:
        """A quantiser's at the last rate point, in units of the orthonormal transform of [0, 1] pixels.

        By high-rate theory the best one is sqrt(18 / (255^2 ln 2 lmbda)) = 0.02 / sqrt(lmbda).
        """
        return 0.02 / math.sqrt(max(self.lmbda, 1e-4))


@keras.saving.register_keras_serializable("kompakt")
class Fold(layers.Layer):
    """Pixels of blocks as channels: [B, H, W, 3] in [0, 1] -> [B, H/8, W/8, 192] about zero."""

    def call(self, x):
        """See the class."""
        return space_to_depth(x - 0.5, BLOCK)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], None, None, 3 * BLOCK**2)


@keras.saving.register_keras_serializable("kompakt")
class SecondTransform(layers.Layer):
    """The first latents of 4x4 positions become as many others of these, by a matrix: [B, h, w, M] -> [B, h, w, M].

    h and w are multiples of 4.
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape):
        size = GROUP**2 * self.count
        self.kernel = self.add_weight(
            shape=(size, size), initializer=keras.initializers.Orthogonal(SCALE), name="kernel"
        )

    def call(self, y):
        """See the class."""
        groups = space_to_depth(y[..., : self.count], GROUP)
        groups = ops.matmul(groups, self.kernel) * (1 / SCALE)
        return ops.concatenate([depth_to_space(groups, GROUP), y[..., self.count :]], -1)

    def get_config(self):
        return super().get_config() | {"count": self.count}


@keras.saving.register_keras_serializable("kompakt")
class LappedHyperprior(Hyperprior):
    """Latents are a linear lapped transform of the pixels; z tells mean and scale level of every one.

    Of `grouped` latents, which are transformed once more, and all beside them it tells no means: a block's mean colours
    are differences from their neighbours' then, but for one in 16. What these are expected to be larger or smaller than
    others of their channel is `place_levels`, added to what z tells.
    """

    config_class = LappedConfig
    stride, tied_gains, HYPER_SPREAD = BLOCK, True, 4.0
    # The transforms reach a block each way, the enhancement 16 pixels.
    tile, halo, gradient_tile = 96, 4, 64
    error_bits = 20.0  # 6 / ln 2 by high-rate theory; on training photographs more is better (docs/codec.md)
    most_stored = 3.0, 1.25  # near the end a stream is almost as good, and of a photograph a third of a PNG

    def __init__(self, config, **kwargs):
        self.grouped = min(config.grouped, config.latents)
        super().__init__(config, **kwargs)
        self.tails = ScaleMixture(dtype="float32", name="tails")
        self.tails.build()
        if self.grouped:
            self.place_levels = self.add_weight(
                shape=(GROUP, GROUP, self.grouped), initializer="zeros", name="place_levels", dtype="float32",
                autocast=False,
            )  # fmt: skip

    @property
    def multiple(self):
        """See `Codec`."""
        return GROUP if self.grouped else 1

    def transforms(self, config):
        """3x3 blocks to a latent, and back, whose kernels `start` fills in."""
        second, back = ([SecondTransform(self.grouped, name="second")] if self.grouped else [] for _ in range(2))
        analysis = keras.Sequential(
            [
                keras.Input((None, None, 3)),
                Fold(),
                layers.Conv2D(config.latents, 3, padding="same", data_format="channels_last", use_bias=False),
                *second,
                layers.Rescaling(1 / (SCALE * config.step)),
            ],
            name="analysis",
        )
        synthesis = keras.Sequential(
            [
                keras.Input((None, None, config.latents)),
                layers.Rescaling(config.step / SCALE),
                *back,
                SubPixelConv2D(3, 3, BLOCK),
                layers.Rescaling(1.0, 0.5),
                Enhancement(config.enhancement_filters, 2, scale=1 / 16, name="enhancement"),
            ],
            name="synthesis",
        )
        return analysis, synthesis

    def hyper_transforms(self, channels, latents):
        """The two networks between logarithms of latents and side information."""
        seen, told = (latents, latents) if self.grouped else (2 * latents, latents + COLOURS)
        return hyper_analysis(seen, channels, LEAK), hyper_synthesis(channels, (channels, channels, told), LEAK)

    def split(self, parameters):
        """Outputs of the hyper-synthesis [B, h, w, D] -> (mean, level), both [B, h, w, M] float32.

        Only the first three latents, the means of blocks, lie about what neighbours say. The others lie about zero, as
        most of them are: quantised about a mean that is not quite zero, each would come back with that error.
        """
        if self.grouped:
            return ops.zeros_like(parameters), parameters + self.START_LEVEL
        level, mean = parameters[..., :-COLOURS], codec.GAIN * parameters[..., -COLOURS:]
        return ops.pad(
            mean, [[0, 0]] * (len(mean.shape) - 1) + [[0, level.shape[-1] - COLOURS]]
        ), level + self.START_LEVEL

    @property
    def hyper_offsets(self):
        """See `Hyperprior`."""
        if not self.grouped:
            return None
        return ops.pad(self.place_levels, [[0, 0], [0, 0], [0, self.config.latents - self.grouped]])

    def placed(self, y):
        """`hyper_offsets` of all positions of latents [B, h, w, M]: [h, w, M] float32."""
        height, width = ops.shape(y)[1:3]
        whole = ops.tile(self.hyper_offsets, (-(-height // GROUP), -(-width // GROUP), 1))
        return whole[:height, :width]

    def hyper_latents(self, y):
        """Hyper-latents before rounding: [B, h, w, M] -> [B, ceil(h/4), ceil(w/4), N] float32."""
        if self.grouped:
            seen = ops.log1p(FINE * ops.abs(y * ops.exp(-gaussian.STEP * self.placed(y))))
            return ops.cast(self.hyper_analysis(pad_to_multiple(seen, STRIDE)), "float32")
        y = pad_to_multiple(y, STRIDE)
        seen = ops.concatenate([ops.log1p(FINE * ops.abs(y)), y / codec.GAIN], -1)
        return ops.cast(self.hyper_analysis(seen), "float32")

    def code(self, y, training):
        """As of a mean-scale hyperprior, with tails that are learned."""
        z_hat = self.discretize(self.hyper_latents(y), training)
        mean, level = self.told(z_hat, y)
        y_hat = self.discretize(y, training, mean)
        bits = self.prior(z_hat) + self.tails(y_hat - mean, gaussian.scale_of(level))
        return self.drawn(y, y_hat, training, mean), bits

    def told(self, z_hat, y):
        """Mean and level of latents [B, h, w, M] by hyper-latents."""
        parameters = crop_like(ops.cast(self.hyper_synthesis(z_hat), "float32"), y)
        return self.split(parameters + self.placed(y) if self.grouped else parameters)

    def estimated_bits(self, y_hat, z_hat):
        """Bits [B] of coded latents [B, h, w, M] and hyper-latents by the float network and analytic densities."""
        mean, level = self.told(z_hat, y_hat)
        return self.prior(z_hat) + self.tails(y_hat - mean, gaussian.scale_of(level))


def build(config: LappedConfig) -> LappedHyperprior:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = LappedHyperprior(config)
        model(ops.zeros((1, 64, 64, 3), "float32"))
    if config.start == "cosine":
        start(model)
    return model


RECIPE = Recipe(
    name="lapped_hyperprior",
    shape="codec",
    summary="Image codec for high rates: lapped transform and mean-scale hyperprior",
    config=LappedConfig,
    presets={
        "small": codec.SMALL
        | {"channels": 64, "crop_size": 256, "quantisation": "mixed", "warmup_fraction": 0.03, "grouped": 24},
        "paper": codec.PAPER | {"channels": 128, "quantisation": "mixed", "grouped": 24},
    },
    build=build,
    inputs=inputs,
    signatures=functools.partial(signatures, ScaleMixtureLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
