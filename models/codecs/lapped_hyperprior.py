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
import numpy as np
from keras import layers, ops

from models.codecs import codec
from models.codecs.hyperprior import Hyperprior, crop_like
from models.codecs.inputs import inputs
from models.codecs.reconstructions import callbacks
from models.codecs.serving.latents import ScaleMixtureLatents
from models.codecs.serving.transforms import signatures
from models.contract.precision import policy_of
from models.contract.recipe import Recipe, option
from models.entropy.densities import gaussian
from models.entropy.densities.scale_mixture import ScaleMixture
from models.layers.conv import SubPixelConv2D, space_to_depth
from models.layers.enhancement import Enhancement
from models.layers.hyper import LEAK, STRIDE, hyper_analysis, hyper_synthesis
from models.layers.padding import pad_to_multiple

COLOURS = 3
BLOCK = 8  # pixels a latent, each way
# Of the transforms' kernels over the orthonormal one: Adam's steps are alike for all weights, and small beside these.
SCALE = 64.0
_COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])
_VARIANCE = (0.1, 0.006, 0.003)  # of brightness and colour differences of photographs, on [0, 1]
_CORRELATION = 0.95  # of neighbouring pixels, the textbook's
FINE = 10.0  # latents times this before the logarithm, which then tells scales of a tenth of a step
HYPER_GAIN = 2.0  # hyper-latents a unit of the natural logarithm
_OFFSET = 0.6  # of log(scale / least scale) over the mean of log1p(FINE |y|), of Gaussian latents
_UP = 24.0  # in units of the codec's gain, more than a block's mean is
_REST = 0.1  # scale left to the random start of channels that are given none


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
class LappedHyperprior(Hyperprior):
    """Latents are a linear lapped transform of the pixels; z tells mean and scale level of every one."""

    config_class = LappedConfig
    stride, tied_gains, HYPER_SPREAD = BLOCK, True, 4.0
    # The transforms reach a block each way, the enhancement 16 pixels.
    tile, halo, gradient_tile = 96, 4, 64
    error_bits = 20.0  # 6 / ln 2 by high-rate theory; on training photographs more is better (docs/codec.md)
    most_stored = 3.0, 1.25  # near the end a stream is almost as good, and of a photograph a third of a PNG

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.tails = ScaleMixture(dtype="float32", name="tails")
        self.tails.build()

    def transforms(self, config):
        """3x3 blocks to a latent, and back, whose kernels `start` fills in."""
        analysis = keras.Sequential(
            [
                keras.Input((None, None, 3)),
                Fold(),
                layers.Conv2D(config.latents, 3, padding="same", data_format="channels_last", use_bias=False),
                layers.Rescaling(1 / (SCALE * config.step)),
            ],
            name="analysis",
        )
        synthesis = keras.Sequential(
            [
                keras.Input((None, None, config.latents)),
                layers.Rescaling(config.step / SCALE),
                SubPixelConv2D(3, 3, BLOCK),
                layers.Rescaling(1.0, 0.5),
                Enhancement(config.enhancement_filters, 2, scale=1 / 16, name="enhancement"),
            ],
            name="synthesis",
        )
        return analysis, synthesis

    def hyper_transforms(self, channels, latents):
        """The two networks between logarithms of latents and side information."""
        return hyper_analysis(2 * latents, channels, LEAK), hyper_synthesis(
            channels, (channels, channels, latents + COLOURS), LEAK
        )

    def split(self, parameters):
        """Outputs of the hyper-synthesis [B, h, w, M + 3] -> (mean, level), both [B, h, w, M] float32.

        Only the first three latents, the means of blocks, lie about what neighbours say. The others lie about zero, as
        most of them are: quantised about a mean that is not quite zero, each would come back with that error.
        """
        level, mean = parameters[..., :-COLOURS], codec.GAIN * parameters[..., -COLOURS:]
        return ops.pad(
            mean, [[0, 0]] * (len(mean.shape) - 1) + [[0, level.shape[-1] - COLOURS]]
        ), level + self.START_LEVEL

    def hyper_latents(self, y):
        """Hyper-latents before rounding: [B, h, w, M] -> [B, ceil(h/4), ceil(w/4), N] float32."""
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
        mean, level = self.split(ops.cast(self.hyper_synthesis(z_hat), "float32"))
        return crop_like(mean, y), crop_like(level, y)

    def estimated_bits(self, y_hat, z_hat):
        """Bits [B] of coded latents [B, h, w, M] and hyper-latents by the float network and analytic densities."""
        mean, level = self.told(z_hat, y_hat)
        return self.prior(z_hat) + self.tails(y_hat - mean, gaussian.scale_of(level))


def cosine_basis() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The orthonormal cosine transform of a block of three colours, and what it is expected to find.

    Returns:
      (float64 [8, 8, 3, 192], of which the last axis counts the coefficients; their variances [192], falling but that
      the three colours' means come first; which colour each is of, int [192]).
    """
    n = np.arange(BLOCK)
    rows = np.sqrt(2 / BLOCK) * np.cos(np.pi * np.outer(n, 2 * n + 1) / (2 * BLOCK))
    rows[0] /= math.sqrt(2)
    spread = np.einsum("ui,ij,uj->u", rows, _CORRELATION ** np.abs(n[:, None] - n), rows)
    basis = np.einsum("ui,vj,cd->ijduvc", rows, rows, _COLOUR).reshape(BLOCK, BLOCK, 3, -1)
    variance = np.einsum("u,v,c->uvc", spread, spread, _VARIANCE).reshape(-1)
    order = np.array(sorted(range(variance.size), key=lambda n: (n >= COLOURS, -variance[n])))
    return basis[..., order], variance[order], order % COLOURS


def start(model: LappedHyperprior) -> None:
    """Gives the transforms the cosine basis, and the hyper-transforms the way from magnitudes to scales and back."""
    basis, variance, colours = cosine_basis()
    count = min(model.config.latents, basis.shape[-1])
    centre = basis[..., :count].reshape(-1, count)
    unfold = next(layer for layer in model.synthesis.layers if isinstance(layer, SubPixelConv2D)).conv
    for kernel, values in ((model.analysis.layers[1].kernel, centre), (unfold.kernel, centre.T)):
        kernel.assign(SCALE * _taps(kernel, values, slice(1, 2)))
    # Steps double from the last rate point to the one two below. Scales of the one in the middle, over the least:
    middle = model.config.step * 2.0 ** ((model.config.rates - 1) / 4)
    _start_hyper(model, np.sqrt(variance[:count]) / (middle * gaussian.MIN_SCALE), colours[:count])


def _start_hyper(model: LappedHyperprior, scales: np.ndarray, colours: np.ndarray) -> None:
    """Hyper-latents are means of magnitudes, or of the blocks' means, of 4x4 positions, from which all of these have
    their levels and their means.

    Args:
      scales, colours: [n], of the first latents, the scales that are expected, over the coder's least one.
    """
    groups, latents = _groups(colours, model.config.channels), model.config.latents
    # The means of the blocks' colours go beside, moved so far up that the rectifiers leave them.
    scale, count = len(groups), len(groups) + COLOURS
    shares, told = np.zeros((2 * latents, count)), np.zeros((count, latents + COLOURS))
    expected, bias = np.full(count, _UP), np.zeros(latents + COLOURS)
    for n, group in enumerate(groups):
        shares[group, n] = 1 / len(group)
        expected[n] = max(np.log(scales[group]).mean() - _OFFSET, 0.0)
        told[n, group], bias[group] = 1 / gaussian.STEP, _OFFSET / gaussian.STEP - model.START_LEVEL
    for n in range(COLOURS):
        shares[latents + n, scale + n], told[scale + n, latents + n], bias[latents + n] = 1.0, 1.0, -_UP
    each, raised = np.eye(count), np.where(np.arange(count) < scale, 0.0, _UP)
    first, second, third = _convolutions(model.hyper_analysis)
    _lay(first, shares, slice(1, 2), raised)
    _lay(second, each / 4, slice(1, 3))
    _lay(third, HYPER_GAIN * each / 4, slice(1, 3), -HYPER_GAIN * expected)
    first, second, third = _convolutions(model.hyper_synthesis)
    _lay(first, each / HYPER_GAIN, slice(1, 3), expected)
    _lay(second, each, slice(1, 3))
    _lay(third, told, slice(1, 2), bias)


def _convolutions(network: keras.Sequential) -> list:
    """The three convolutions of a hyper-transform."""
    return [layer for layer in network.layers if hasattr(layer, "kernel")]


def _groups(colours: np.ndarray, channels: int) -> list[np.ndarray]:
    """Which latents' magnitudes are told together, neighbours in frequency of one colour: as many groups as three
    quarters of the hyper-latents, half of them of brightness."""
    groups = []
    for colour, count in ((0, 3 * channels // 8), (1, 3 * channels // 16), (2, 3 * channels // 16)):
        members = np.flatnonzero(colours == colour)
        groups += [group for group in np.array_split(members, max(1, count)) if len(group)]
    return groups[: channels - COLOURS]


def _lay(layer, values: np.ndarray, taps: slice, bias: np.ndarray | float = 0.0) -> None:
    """Lays values [inputs, outputs] over a layer's first channels at some taps; the rest stays, at a small scale."""
    kernel, count = layer.kernel, values.shape[1]
    kept, transposed = np.array(kernel) * _REST, isinstance(layer, layers.Conv2DTranspose)
    kept[(..., slice(count), slice(None)) if transposed else (..., slice(count))] = 0
    kernel.assign(kept + _taps(kernel, values.T if transposed else values, taps))
    found = np.array(layer.bias)
    found[:count] = bias
    layer.bias.assign(found)


def _taps(kernel, values: np.ndarray, taps: slice) -> np.ndarray:
    """Zeros of a kernel's shape [k, k, a, b], but for values [<= a, <= b] at some taps both ways."""
    made = np.zeros(kernel.shape, "float32")
    made[taps, taps, : values.shape[0], : values.shape[1]] = values
    return made


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
        "small": codec.SMALL | {"channels": 64, "crop_size": 256, "quantisation": "mixed", "warmup_fraction": 0.03},
        "paper": codec.PAPER | {"channels": 128, "quantisation": "mixed"},
    },
    build=build,
    inputs=inputs,
    signatures=functools.partial(signatures, ScaleMixtureLatents),
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
)
