"""What the image codecs have in common: configuration, transforms, loss, input pipeline, evaluation.

    x --analysis--> y --round/noise--> y_hat --synthesis--> x_hat
                    '--entropy model--> bits

Loss = bits per pixel + lmbda * 255^2 * MSE on [0, 1] pixels (arXiv:1802.01436, eq. 9-11).
"""

import dataclasses

import keras
from keras import ops

from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Search, option
from models.layers import haar
from models.layers.conv import downsample, upsample
from models.layers.gain import GainUnits
from models.layers.gdn import GDN
from models.layers.padding import pad_to_multiple
from models.training import replicas

# Latents are this many times the values that the networks work with, whose weights then are all of one order of
# magnitude, as Adam wants them. A power of two: exact in fixed-point arithmetic.
GAIN = 16.0


@dataclasses.dataclass(frozen=True)
class CodecConfig(Config):
    """Options of an image codec."""

    channels: int = option(128, "filters of the transforms (N)", search=Search(choices=(48, 64, 96, 128, 192)), low=1)
    latents: int = option(192, "channels of the latents (M)", search=Search(choices=(64, 96, 128, 192, 320)), low=1)
    lmbda: float = option(0.0067, "weight of distortion against rate: bpp + lmbda * 255^2 * MSE", low=0.0)
    rates: int = option(
        1, "rate points of one variable-rate model, lambda halved from each to the one below; 1: fixed", low=1, high=8
    )
    activation: str = option("gdn", "normalisation of the transforms", choices=("gdn", "simplified_gdn"))
    start: str = option("haar", "first weights of the transforms: a wavelet or noise", choices=("haar", "random"))
    quantisation: str = option(
        "noise",
        "what training codes: latents with noise; likewise, but rounded ones are drawn; or rounded ones, which leave "
        "the encoder as it is",
        choices=("noise", "mixed", "rounded"),
    )
    store: bool = option(
        True, "whether what a PNG holds in hardly more bytes, graphics say, is served as that PNG", in_fingerprint=False
    )
    crop_size: int = option(256, "side of a training crop, pixels, a multiple of 64", low=64)

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size % 64:
            raise ConfigError(f"crop_size={self.crop_size}: must be a multiple of 64")


# Lambdas of the published rate points, for the documentation and the sweeps: .0018 .0035 .0067 .013 .025 .0483
PAPER = {"channels": 128, "latents": 192, "learning_rate": 1e-4, "steps": 1_000_000, "steps_per_epoch": 5000,
         "batch_size": 16, "warmup_fraction": 0.001}  # fmt: skip
SMALL = {"channels": 64, "latents": 192, "crop_size": 192, "batch_size": 4, "steps": 1500, "learning_rate": 4e-4,
         "warmup_fraction": 0.01}  # fmt: skip


def analysis(config: CodecConfig) -> keras.Sequential:
    """Pixels [B, H, W, 3] in [0, 1] -> latents [B, H/16, W/16, latents]."""
    layers = [keras.Input((None, None, 3))]
    for _ in range(3):
        layers += [downsample(config.channels), GDN(simplified=config.activation == "simplified_gdn")]
    return keras.Sequential([*layers, downsample(config.latents), keras.layers.Rescaling(GAIN)], name="analysis")


def synthesis(config: CodecConfig) -> keras.Sequential:
    """Rounded latents [B, h, w, latents] -> pixels [B, 16h, 16w, 3], not clipped."""
    layers = [keras.Input((None, None, config.latents)), keras.layers.Rescaling(1 / GAIN)]
    for _ in range(3):
        layers += [upsample(config.channels), GDN(inverse=True, simplified=config.activation == "simplified_gdn")]
    return keras.Sequential([*layers, upsample(3)], name="synthesis")


class Codec(Configured):
    """A codec to train. Subclasses make their entropy model in `__init__` and say in `code` what latents cost.

    `call` takes pixels [B, H, W, 3] float32 in [0, 1], H and W multiples of 16, and returns
    {"x_hat": [B, H, W, 3] float32, not clipped; "bits": [B] float32, bits an image; "lmbda": [B] float32}.

    With `config.rates` above 1 every example has a rate point by its place in the batch, from one drawn in training.

    With `config.quantisation` "mixed" training counts the bits of noisy latents and draws rounded ones, whose gradient
    is passed on as if nothing had been rounded (arXiv:2007.08739). With "rounded" it sees what is served,
    and no gradient passes the rounding: a second stage that fits synthesis and entropy model to the latents of an
    encoder that stays (arXiv:2104.05168).
    """

    stride = 16  # pixels a latent, each way
    multiple = 1  # of how many latents each way pictures are made to be whole numbers
    tied_gains = False  # see `GainUnits`
    # Served pictures are worked through in tiles, of so many latents a side and a halo around them. The transforms
    # reach 30 pixels and 4 latents. Slopes have smaller tiles: a gradient keeps what all layers gave.
    tile, halo, gradient_tile = 48, 4, 32
    error_bits = None  # what the encoder counts for a squared error of one step; None: the coder's usual
    most_stored = 1.5, 4.0  # how much larger a PNG may be that is served instead, at quality 0 and at 100

    def __init__(self, config: CodecConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.analysis, self.synthesis = self.transforms(config)
        gains = config.rates, config.latents, self.tied_gains
        self.gain_units = GainUnits(*gains, dtype="float32") if config.rates > 1 else None
        self.trackers = [keras.metrics.Mean(name=n) for n in ("bpp", "mse", "psnr")]
        self.noise = keras.random.SeedGenerator(config.seed)
        # Of weights that were handed on: the coder's tables, integers by name, and the fingerprints that served models
        # of these very weights had before.
        self.tables, self.reads = None, ()

    def transforms(self, config) -> tuple[keras.Sequential, keras.Sequential]:
        """The networks from pixels to latents and back."""
        return analysis(config), synthesis(config)

    def code(self, y, training: bool):
        """Quantises latents y [B, h, w, M] float32; returns (what is drawn, of the same shape, bits [B] float32)."""
        raise TypeError(f"{type(self).__name__} must say in `code` what its latents cost")

    def discretize(self, y, training: bool, mean=0.0):
        """Adds uniform noise in training, rounds the distance to the mean otherwise; same shape, float32."""
        if training:
            return y + keras.random.uniform(ops.shape(y), -0.5, 0.5, seed=self.noise)
        return ops.round(y - mean) + mean

    def drawn(self, y, y_hat, training: bool, mean=0.0):
        """What the synthesis is given for latents y that are coded as y_hat, all of one shape, float32."""
        if not training or self.config.quantisation != "mixed":
            return y_hat
        return y + ops.stop_gradient(self.discretize(y, False, mean) - y)

    def call(self, x, training=None):
        """Codes and decodes pixels, see the class."""
        height, width = ops.shape(x)[1:3]
        if self.multiple > 1:
            x = pad_to_multiple(x, self.stride * self.multiple)
        y = ops.cast(self.analysis(x), "float32")
        rate = self.rate_points(ops.shape(y)[0], bool(training))
        noisy = bool(training) and self.config.quantisation != "rounded"
        if self.gain_units is None:
            y_hat, bits = self.code(y, noisy)
        else:
            gain, inverse = self.gain_units.gains(rate)
            y_hat, bits = self.code(y * gain, noisy)
            y_hat = y_hat * inverse
        x_hat = ops.cast(self.synthesis(y_hat), "float32")[:, :height, :width]
        return {"x_hat": x_hat, "bits": bits, "lmbda": self.lmbda_at(rate)}

    def rate_points(self, batch, training: bool):
        """A rate point for each example of a batch: [B] float32."""
        if self.config.rates == 1:
            return ops.zeros((batch,), "float32")
        points = ops.arange(batch, dtype="int32") + replicas.start(batch)
        if training:
            # In turn, so that all points have their share of every batch; all replicas from the sum of what they drew.
            points += replicas.total(keras.random.randint((), 0, self.config.rates, seed=self.noise))
        return ops.cast(points % self.config.rates, "float32")

    def lmbda_at(self, rate):
        """Weight of distortion at real-valued rate points, any shape, float32; `config.lmbda` is the last one's."""
        return self.config.lmbda * 2.0 ** (rate - (self.config.rates - 1.0))

    def _bpp_and_mse(self, x, outputs):
        """Of each example, [B] float32."""
        pixels = ops.cast(ops.shape(x)[1] * ops.shape(x)[2], "float32")
        mse = ops.mean(ops.square(ops.cast(x, "float32") - outputs["x_hat"]), axis=(1, 2, 3))
        return outputs["bits"] / pixels, mse

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Rate-distortion loss of weighed examples, scalar, bits per pixel.

        Bits grow about as the root of lambda. Rate points are weighed by its inverse, so that a per cent of the bits is
        worth as much at low rates as at high ones.
        """
        bpp, mse = self._bpp_and_mse(x, y_pred)
        lmbda = y_pred["lmbda"]
        weights = ops.sqrt(self.lmbda_at((self.config.rates - 1.0) / 2.0) / lmbda)
        return ops.mean(weighed(weights * (bpp + lmbda * 255.0**2 * mse), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Means over the examples of the estimated bpp, the MSE on [0, 1] pixels and the PSNR, dB, at most 100."""
        bpp, mse = self._bpp_and_mse(x, y_pred)
        for tracker, values in zip(self.trackers, (bpp, mse, -10.0 * ops.log10(ops.maximum(mse, 1e-10))), strict=True):
            tracker.update_state(values)
        return self.get_metrics_result()

    config_class = CodecConfig


def build(model_class: type[Codec], config: CodecConfig) -> Codec:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = model_class(config)
        model(ops.zeros((1, 64, 64, 3), "float32"))
        if config.start == "haar":
            haar.initialize(model.analysis, model.synthesis, GAIN)
    return model


EVALUATION = Evaluation(
    metrics=(
        Metric("bpp", "bpp", "lower", upper_bound=24.0, title="real rate"),
        Metric("psnr_db", "dB", "higher", lower_bound=15.0, title="PSNR"),
        Metric("ms_ssim", "", "higher", lower_bound=0.3, title="MS-SSIM"),
        Metric("estimated_bpp", "bpp", "lower", title="estimated rate"),
        Metric("rd_cost", "bpp", "lower", tolerance=0.05, title="RD cost"),
    ),
    slices=("image/size_class",),
    comparable=("lmbda", "rates"),
)
