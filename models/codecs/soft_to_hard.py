"""Vector quantisation that hardens while it is trained: soft-to-hard codec (arXiv:1704.00648).

    pixels --stride 8--> z --2x2 patches of a channel--> nearest of L centres --> index, under its channel's table

Phases: without quantisation; k-means, then jointly with soft values that harden by a controller on the gap between hard
and soft loss; last the centres and the synthesis with the hard values of an encoder that stays. The paper's encoder is
not known in detail: this one has residual blocks in the style of arXiv:1703.00395, without normalisation. The loss is
the house's, beta bits per pixel + lmbda 255^2 MSE, in place of MSE + beta m H. One model is one rate.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from models.codecs import codec, reconstructions
from models.codecs.inputs import inputs
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Recipe, Search, option
from models.contract.training import Judge, Phase
from models.layers import haar
from models.layers.conv import ResidualBlock, depth_to_space, downsample, space_to_depth, upsample
from models.layers.vector_quantizer import VectorQuantizer
from models.training.annealing import Anneal

STAGES = ("plain", "joint", "hard")
_PATCH = 2  # side of the square of a channel that is one vector


@dataclasses.dataclass(frozen=True)
class SoftToHardConfig(codec.CodecConfig):
    """A codec's options and those of its vectors. `activation` and `quantisation` mean nothing here."""

    latents: int = option(
        16, "indices for each square of 16 pixels a side: channels of the bottleneck, or 4 times as many scalars",
        search=Search(choices=(8, 16, 24, 32)), low=1,
    )  # fmt: skip
    centres: int = option(256, "vectors of the codebook (L)", search=Search(choices=(64, 256, 1024)), low=2, high=4096)
    dimension: int = option(4, "numbers of a vector: a 2x2 patch of a channel, or scalars", choices=(1, 4))
    blocks: int = option(2, "residual blocks of each transform", low=0, high=3)
    beta: float = option(1.0, "weight of the entropy in the loss; 0: of the distortion alone", low=0.0)
    annealing: str = option(
        "gap", "how soft values harden: by the gap of hard and soft loss, not at all, or straight-through values",
        choices=("gap", "fixed", "ste"),
    )  # fmt: skip
    softness: float = option(
        1.0, "mean squared distance to the nearest centre times sigma, inverse, at first", low=1e-3
    )
    gain: float = option(20.0, "first sigmas that are added, for a first gap more than is aimed at, a change", low=0.0)
    plain_share: float = option(0.4, "share of the steps without quantisation", low=0.0, high=1.0)
    joint_share: float = option(0.4, "share of the steps with soft values", low=0.0, high=1.0)
    joint_rate: float = option(0.5, "peak learning rate of that phase over the first one's", low=0.0)
    hard_rate: float = option(0.25, "peak learning rate of the last phase over the first one's", low=0.0)
    stage: str = option("joint", "what is trained; the phases decide", choices=STAGES)

    def __post_init__(self):
        super().__post_init__()
        if self.rates > 1:
            raise ConfigError(f"rates={self.rates}: one model is one rate; train one for each")
        if self.latents * self.dimension % _PATCH**2:
            raise ConfigError(f"latents={self.latents}: must be a multiple of 4 where indices are of scalars")
        if self.plain_share + self.joint_share >= 1:
            shares = f"plain_share={self.plain_share}, joint_share={self.joint_share}"
            raise ConfigError(f"{shares}: nothing is left for the last phase")

    @property
    def depth(self) -> int:
        """Channels of the bottleneck (K)."""
        return self.latents * self.dimension // _PATCH**2


@keras.saving.register_keras_serializable("kompakt")
class SoftToHard(codec.Codec):
    """As a `Codec`; `quantizer` assigns what `bottleneck` gives."""

    config_class = SoftToHardConfig

    def __init__(self, config: SoftToHardConfig, **kwargs):
        super().__init__(config, **kwargs)
        mode = "hard" if config.stage == "hard" else "ste" if config.annealing == "ste" else "anneal"
        self.quantizer = VectorQuantizer(
            config.centres, config.dimension, mode, groups=config.depth,
            momentum=0.99 if config.stage == "hard" else 0.9, name="quantizer",
        )  # fmt: skip

    def transforms(self, config):
        """Networks of stride 8 to K channels and back."""
        n, blocks = config.channels, range(config.blocks)
        analysis = [downsample(n // 2), downsample(n), *(ResidualBlock() for _ in blocks), downsample(config.depth)]
        synthesis = [upsample(n), *(ResidualBlock() for _ in blocks), upsample(n // 2), upsample(3)]
        return (
            keras.Sequential([keras.Input((None, None, 3)), *analysis], name="analysis"),
            keras.Sequential([keras.Input((None, None, config.depth)), *synthesis], name="synthesis"),
        )

    def bottleneck(self, x):
        """Pixels [B, H, W, 3] -> vectors [B, H/16, W/16, latents p] float32, one after the other."""
        z = space_to_depth(ops.cast(self.analysis(x), "float32"), _PATCH)  # patch, then channel
        return self._swapped(z, _PATCH**2, self.config.depth) if self.config.dimension > 1 else z

    def draw(self, z):
        """Vectors as `bottleneck` gives them -> pixels [B, H, W, 3] float32, not clipped."""
        z = self._swapped(z, self.config.depth, _PATCH**2) if self.config.dimension > 1 else z
        return ops.cast(self.synthesis(depth_to_space(z, _PATCH)), "float32")

    def _swapped(self, z, first: int, second: int):
        """[..., first second] with both axes in the other order."""
        batch, height, width, _ = ops.shape(z)
        z = ops.transpose(ops.reshape(z, (batch, height, width, first, second)), (0, 1, 2, 4, 3))
        return ops.reshape(z, (batch, height, width, first * second))

    def coded(self, x, training: bool, mode: str | None = None):
        """(pixels drawn, bits [B]) of pixels; `mode` as of `VectorQuantizer.assign`."""
        z = self.bottleneck(x)
        count = ops.cast(ops.shape(z)[1] * ops.shape(z)[2] * self.config.latents, "float32")
        if self.config.stage == "plain":
            return self.draw(z), ops.zeros_like(z[:, 0, 0, 0])
        found = self.quantizer.assign(z, training, mode)
        if training or mode:
            bits = ops.zeros_like(z[:, 0, 0, 0]) + count * found.soft_bits
        else:
            bits = self.index_bits(found.symbols)
        return self.draw(found.value), bits

    def index_bits(self, symbols):
        """Bits [B] float32 of indices [B, h, w, latents] by the histograms of the training."""
        group = ops.arange(self.config.latents, dtype="int32") % self.config.depth
        # What was never seen costs the coder a slot of its tables, of 14 bits.
        lengths = ops.minimum(ops.reshape(self.quantizer.lengths(), (-1,)), 14.0)
        return ops.sum(ops.take(lengths, ops.cast(symbols, "int32") + group * self.config.centres), axis=(1, 2, 3))

    def indices(self, x):
        """Pixels [B, H, W, 3] in [0, 1] -> what is coded of them, int32 [B, H/16, W/16, latents]."""
        return self.quantizer.symbols(self.bottleneck(x))

    def draw_indices(self, symbols):
        """Indices as `indices` gives them -> pixels [B, H, W, 3] float32, not clipped."""
        return self.draw(self.quantizer.values(symbols))

    def call(self, x, training=None):
        """Codes and decodes pixels, see `Codec`; hard values outside of training."""
        x_hat, bits = self.coded(x, bool(training))
        return {"x_hat": x_hat, "bits": bits, "lmbda": ops.zeros_like(bits) + self.config.lmbda}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """beta bits per pixel + lmbda 255^2 MSE of weighed examples, scalar."""
        weighed = y_pred | {"bits": self.config.beta * y_pred["bits"]}
        return super().compute_loss(x, y, weighed, sample_weight, training)

    def gap(self, x) -> float:
        """Loss with hard values less that with soft ones, of the same weights on the same pixels."""
        losses = []
        for mode in ("hard", "anneal"):
            x_hat, bits = self.coded(x, False, mode)
            coded = {"x_hat": x_hat, "bits": bits, "lmbda": ops.zeros_like(bits) + self.config.lmbda}
            losses.append(float(self.compute_loss(x, None, coded, training=False)))
        return losses[0] - losses[1]


def build(config: SoftToHardConfig) -> SoftToHard:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = SoftToHard(config)
        model(ops.zeros((1, 64, 64, 3), "float32"))
        if config.start == "haar":
            haar.initialize(model.analysis, model.synthesis, codec.GAIN)
    return model


def phases(config: SoftToHardConfig, files):
    """Without quantisation; jointly, from centres by k-means; with hard values, while the encoder stays."""
    plain, joint = (int(config.steps * share) for share in (config.plain_share, config.joint_share))
    if plain:
        yield Phase("plain", plain, {"stage": "plain"})
    if joint:
        options = {"seed": config.seed + 1, "learning_rate": config.learning_rate * config.joint_rate}
        yield Phase("joint", joint, options, prepare=prepare)
    options = {"stage": "hard", "seed": config.seed + 2, "learning_rate": config.learning_rate * config.hard_rate}
    last = {} if joint else {"prepare": prepare}
    yield Phase("hard", config.steps - plain - joint, options, frozen=lambda model: [model.analysis], **last)


def prepare(model: SoftToHard, config: SoftToHardConfig, files) -> None:
    """Finds the first centres among the vectors of training crops."""
    wanted = max(20_000, 20 * config.centres) // (config.latents * (config.crop_size // 16) ** 2) + 1
    batches = inputs(files.train, config, True).take(-(-wanted // config.batch_size))
    samples = np.concatenate([np.array(model.bottleneck(np.array(x))) for x in batches])
    model.quantizer.start(samples, config.softness, config.seed)


def callbacks(model: SoftToHard, config: SoftToHardConfig, files) -> list[keras.callbacks.Callback]:
    """What every codec has, and what hardens the soft values."""
    found = reconstructions.callbacks(model, config, files)
    if config.stage != "joint":
        return found
    crops = np.array(next(iter(inputs(files.train, dataclasses.replace(config, seed=config.seed + 1), True))))
    annealed = Anneal(
        [model.quantizer], config.steps, max(1, min(10, config.steps // 30)), gap=lambda: model.gap(crops),
        horizon=max(1.0, config.steps / 20), gain=config.gain if config.annealing == "gap" else 0.0,
        samples=lambda: np.array(model.bottleneck(crops)),
    )  # fmt: skip
    return [*found, annealed]


def signatures(model: SoftToHard, config: SoftToHardConfig):
    """The module to save: indices are the latents that are coded."""
    from models.codecs.serving.indices import IndexPayload  # TensorFlow, which training does without
    from models.codecs.serving.server import PictureServer

    return PictureServer(IndexPayload(model, config), config.store)


RECIPE = Recipe(
    name="soft_to_hard",
    shape="codec",
    summary="Vector quantisation that hardens in training, soft-to-hard (arXiv:1704.00648)",
    config=SoftToHardConfig,
    presets={
        "small": codec.SMALL | {"channels": 48, "latents": 16, "steps": 1500},
        "paper": codec.PAPER | {"channels": 128, "latents": 32, "centres": 1024, "blocks": 3},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=codec.EVALUATION,
    callbacks=callbacks,
    report=("rate_distortion",),
    batching=False,
    judge=Judge(keep="best"),  # of the last phase, whose values are hard
    phases=phases,
)
