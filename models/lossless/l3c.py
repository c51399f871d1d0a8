"""L3C: lossless coding by a hierarchy of learned scales, all pixels of one in one pass.

Mentzer, Agustsson, Tschannen, Timofte, Van Gool, arXiv:1811.12817, as the released code has it: features go on before
the atrous block, weights of mixtures belong to single channels, targets pass gradients to the encoders.

    x -> E1 -> z1 -> E2 -> z2 -> E3 -> z3        p(z3) uniform, p(z2 | z3), p(z1 | z2, f3), p(x | z1, f2)

Other than there, decoders compute in exact integers, factors of sub-pixel terms are hard sigmoids of what they are, and
Adam takes the steps.
"""

import dataclasses
import math

import keras
from keras import ops

from models.codecs.inputs import inputs
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import Config, ConfigError, Recipe, Search, option
from models.layers.integer import rounded
from models.layers.vector_quantizer import VectorQuantizer
from models.lossless.evaluation import EVALUATION
from models.lossless.hierarchy import ScaleDecoder, encoder
from models.lossless.mixture_parameters import Parameters
from models.lossless.serving import signatures

SCALES = 3
STRIDE = 2**SCALES
PIXELS = 256  # values of a sub-pixel


@dataclasses.dataclass(frozen=True)
class L3cConfig(Config):
    """Options of L3C and of its paper's two baselines."""

    channels: int = option(64, "filters of encoders and decoders (Cf)", search=Search(choices=(16, 32, 64)), low=1)
    blocks: int = option(8, "residual blocks of each", search=Search(choices=(2, 4, 8)), low=0)
    latents: int = option(5, "channels of a learned scale (C)", search=Search(choices=(3, 5, 8)), low=1)
    levels: int = option(25, "levels of a learned scale (L)", low=2, high=256)
    components: int = option(10, "logistics of a mixture (K)", search=Search(choices=(3, 5, 10)), low=1, high=16)
    subpixel: bool = option(True, "whether green's mean follows red, and blue's both")
    softness: float = option(2.0, "sigma of the quantizer's soft assignment", low=0.0)
    detach: bool = option(
        False, "whether what scales cost teaches their predictors alone, and not the encoders (not so in the paper)"
    )
    representation: str = option(
        "learned",
        "the scales: learned; halved pictures, a predictor for each; halved pictures, one predictor for all",
        choices=("learned", "rgb", "rgb_shared"),
    )
    store: bool = option(True, "whether what a PNG holds in fewer bytes is served as that PNG", in_fingerprint=False)
    crop_size: int = option(128, "side of a training crop, pixels, a multiple of 8", low=8)

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size % STRIDE:
            raise ConfigError(f"crop_size={self.crop_size}: must be a multiple of {STRIDE}")


@keras.saving.register_keras_serializable("kompakt")
class L3c(Configured):
    """A lossless codec to train.

    `call` takes pixels [B, H, W, 3] float32 in [0, 1], H and W multiples of 8, multiples of 1/255, and returns
    {"x_hat": the same; "bits": [B] float32, bits an image; "scales": [B, 4] float32, bits of the pixels and of the
    scales, the coarsest last}.
    """

    config_class = L3cConfig

    def __init__(self, config: L3cConfig, **kwargs):
        super().__init__(config, **kwargs)
        learned = config.representation == "learned"
        pixels = Parameters(PIXELS, 3, config.components, config.subpixel)
        scale = Parameters(config.levels, config.latents, config.components) if learned else pixels
        self.parameters = [pixels, *[scale] * (SCALES - 1)]  # of what each decoder's outputs code
        self.channels = scale.channels
        self.size = scale.size
        shared = config.representation == "rgb_shared"
        body = config.channels, config.blocks
        self.decoders = [
            ScaleDecoder(*body, of, self.size, not shared and n < SCALES - 1, name=f"decoder_{n}")
            for n, of in enumerate(self.parameters[:1] if shared else self.parameters)
        ]
        self.encoders = [
            encoder(config.channels, config.blocks, 3 if n == 0 else config.channels, config.latents, f"encoder_{n}")
            for n in range(SCALES if learned else 0)
        ]
        # Fixed levels on [-1, 1], of which the nearest is taken and the soft one's gradient.
        own = {"mode": "ste", "sigma": config.softness, "learned": False, "reach": 1.0}
        self.quantizer = VectorQuantizer(config.levels, **own, name="quantizer") if learned else None
        self.trackers = [keras.metrics.Mean(name=n) for n in ("bpsp", *(f"bpsp_{n}" for n in range(SCALES + 1)))]
        # Of weights that were handed on, see `models.codecs.codec.Codec`.
        self.tables, self.reads = None, ()

    def scales(self, pixels, training: bool = False):
        """What is coded beside the pixels, finest first.

        Args:
          pixels: [B, H, W, 3] float32, 0 to 255.

        Returns:
          SCALES arrays [B, H/2^s, W/2^s, C] float32 of integers, 0 to size - 1.
        """
        found, x = [], pixels
        if self.quantizer is None:
            for _ in range(SCALES):
                half = ops.shape(x)[1] // 2, ops.shape(x)[2] // 2
                smaller = ops.image.resize(
                    x, half, interpolation="bicubic", antialias=True, data_format="channels_last"
                )
                found.append(x := ops.clip(ops.round(smaller), 0.0, PIXELS - 1.0))
            return found
        x = (pixels / PIXELS - 0.44) * 2.0
        for network in self.encoders:
            x, z = network(x)
            levels = (self.quantizer(z, training=training) + 1.0) * ((self.size - 1) / 2.0)
            found.append(rounded(levels, 0))  # which they are but for float32
        return found

    def decoder(self, scale: int) -> ScaleDecoder:
        """What gives the mixtures of `scale` (0: the pixels) from the one above."""
        return self.decoders[min(scale, len(self.decoders) - 1)]

    def decode_scale(self, scale: int, values, above=None):
        """Features and outputs for `scale`, of the values of the one above; see `ScaleDecoder.call`."""
        decoder = self.decoder(scale)
        return decoder(values, above if decoder.features else None)

    def bits_of(self, pixels, scales):
        """Bits of every value of the pixels and of the scales but the last: SCALES arrays [B, h, w, C] float32."""
        found, above = [], None
        for scale in reversed(range(SCALES)):
            above, outputs = self.decode_scale(scale, scales[scale], above)
            target = pixels if scale == 0 else scales[scale - 1]
            target = ops.stop_gradient(target) if self.config.detach else target
            found.insert(0, self.parameters[scale].bits(target, outputs))
        return found

    def call(self, x, training=None):
        """Codes pixels, see the class."""
        pixels = ops.round(ops.cast(x, "float32") * (PIXELS - 1.0))
        scales = self.scales(pixels, bool(training))
        sums = [ops.sum(bits, axis=(1, 2, 3)) for bits in self.bits_of(pixels, scales)]
        height, width = ops.shape(scales[-1])[1:3]
        top = ops.cast(height * width * self.channels, "float32") * math.log2(self.size)
        by_scale = ops.stack([*sums, top + ops.zeros_like(sums[0])], axis=1)
        return {"x_hat": x, "bits": ops.sum(by_scale, axis=1), "scales": by_scale}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Bits per sub-pixel of weighed examples, scalar."""
        return ops.mean(weighed(y_pred["bits"] / self._sub_pixels(x), sample_weight))

    @staticmethod
    def _sub_pixels(x):
        return 3.0 * ops.cast(ops.shape(x)[1] * ops.shape(x)[2], "float32")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Means over the examples of bits per sub-pixel: all, of the pixels, of each scale."""
        by_scale = y_pred["scales"] / self._sub_pixels(x)
        for tracker, values in zip(self.trackers, (ops.sum(by_scale, 1), *ops.unstack(by_scale, axis=1)), strict=True):
            tracker.update_state(values)
        return self.get_metrics_result()


def build(config: L3cConfig) -> L3c:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = L3c(config)
        model(ops.zeros((1, 2 * STRIDE, 2 * STRIDE, 3), "float32"))
    return model


# Published: 2.991 bits per sub-pixel on Open Images (version 3 of the paper), where PNG has 4.005 and WebP 3.047.
RECIPE = Recipe(
    name="l3c",
    shape="codec",
    summary="L3C, lossless: a hierarchy of learned scales, logistic mixtures (arXiv:1811.12817)",
    config=L3cConfig,
    presets={
        "small": {"channels": 16, "blocks": 2, "components": 5, "batch_size": 8, "steps": 900, "steps_per_epoch": 100,
                  "learning_rate": 2e-3, "crop_size": 48, "detach": True},
        "paper": {"batch_size": 30, "steps": 1_000_000, "steps_per_epoch": 5000, "learning_rate": 1e-4,
                  "warmup_fraction": 0.001},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=EVALUATION,
    report=("lossless",),
    batching=False,
)  # fmt: skip
