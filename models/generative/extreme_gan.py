"""Generative compression at extreme rates (arXiv:1804.02958): a codec whose generator makes up what bits cannot say.

    pixels --analysis, stride 16--> C numbers a position --nearest of -2..2--> symbols --synthesis--> pixels
                                                                                  critics at several scales <--'

A position has C symbols of five values: its rate is at most C log2(5) / 256 bits a pixel by design, and nothing is
learned of it. Loss of the generator: (D(x_hat) - 1)^2 + 12 MSE on [-1, 1] + 10 feature matching; without a critic
(`adversarial=false`) the same network learns from the MSE alone. What is drawn is synthesised and is no evidence.
"""

import dataclasses

import keras
from keras import ops

from models.codecs import reconstructions
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Recipe, Search, option
from models.contract.training import Judge, Phase
from models.generative import extreme_networks as networks
from models.generative import losses
from models.generative.game import Batch, Game, GameConfig, compile_game
from models.generative.inputs import inputs
from models.generative.perception.metrics import METRICS
from models.layers.vector_quantizer import VectorQuantizer

CENTRES, REACH = 5, 2.0  # of the quantiser: -2, -1, 0, 1, 2, which do not learn


@dataclasses.dataclass(frozen=True)
class ExtremeOptions(GameConfig):
    """Options of the networks and of the losses."""

    filters: int = option(60, "those of the first layer, doubled by each halving (n)", low=2)
    latents: int = option(8, "symbols for each square of 16 pixels a side (C)",
                          search=Search(choices=(2, 4, 8, 16)), low=1)  # fmt: skip
    blocks: int = option(9, "residual blocks of the generator", low=0, high=16)
    upsampling: str = option(
        "resize", "how maps are doubled: neighbours repeated and convolved, or transposed convolutions",
        choices=("resize", "transposed"),
    )  # fmt: skip
    noise: int = option(0, "channels of noise that the generator is given beside the symbols", low=0)
    adversarial: bool = option(True, "whether there is a critic; without one the MSE is all that is learned from")
    critic_channels: int = option(64, "filters of the critic's first layer", low=1)
    scales: int = option(3, "scales at which pictures are criticised", low=1, high=4)
    distortion: float = option(12.0, "weight of the MSE of pixels on [-1, 1]", search=Search(3.0, 50.0, log=True),
                               low=0.0)  # fmt: skip
    matching: float = option(10.0, "weight of the critic's features, whose differences are summed over its layers",
                             search=Search(1.0, 30.0, log=True), low=0.0)  # fmt: skip
    plain_share: float = option(0.0, "share of the steps before the game, which learn from the MSE alone", low=0.0,
                                high=1.0)  # fmt: skip
    crop_size: int = option(256, "side of a training crop, pixels, a multiple of 16", low=16)
    part: str = option("game", "what is built: the game, or the codec of it that is served",
                       choices=("game", "codec"), in_fingerprint=False)  # fmt: skip

    rates = 1  # a model has one rate

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size % networks.STRIDE:
            raise ConfigError(f"crop_size={self.crop_size}: must be a multiple of {networks.STRIDE}")


@keras.saving.register_keras_serializable("kompakt")
class ExtremeCodec(Configured):
    """Encoder, quantiser and generator.

    `call` takes pixels [B, H, W, 3] float32 in [0, 1], H and W multiples of 16, and returns {"x_hat": [B, H, W, 3]
    float32 in [0, 1]; "bits": [B] float32, by the histograms of the training}, without noise.
    """

    config_class = ExtremeOptions
    stride = networks.STRIDE
    tile = 48  # latents a side in which pictures are served

    def __init__(self, config: ExtremeOptions, **kwargs):
        super().__init__(config, **kwargs)
        self.halo = networks.halo(config.blocks)
        self.analysis = networks.analysis(config.filters, config.latents)
        sizes = config.filters, config.latents + config.noise, config.blocks
        self.synthesis = networks.synthesis(*sizes, config.upsampling)
        self.quantizer = VectorQuantizer(CENTRES, mode="ste", learned=False, reach=REACH, groups=config.latents,
                                         name="quantizer")  # fmt: skip
        self.tables, self.reads = None, ()  # of weights that were handed on, as `models.codecs.codec.Codec` has them

    def symbols(self, x):
        """Pixels [B, H, W, 3] in [0, 1] -> int32 [B, H/16, W/16, C], 0 to 4."""
        return self.quantizer.symbols(self.analysis(networks.on_one(x)))

    def draw(self, values, noise=None):
        """Centres [B, h, w, C] and noise [B, h, w, noise], none if not given -> pixels [B, 16h, 16w, 3] in [0, 1]."""
        if self.config.noise:
            if noise is None:
                noise = ops.zeros((*ops.shape(values)[:3], self.config.noise), "float32")
            values = ops.concatenate([values, noise], axis=-1)
        return 0.5 + 0.5 * ops.cast(self.synthesis(values), "float32")

    def draw_symbols(self, symbols, noise=None):
        """Likewise of symbols int32 [B, h, w, C]."""
        return self.draw(self.quantizer.values(symbols), noise)

    def symbol_bits(self, symbols):
        """Bits [B] float32 of symbols [B, h, w, C] by the histograms of the training."""
        channel = ops.arange(self.config.latents, dtype="int32")
        lengths = ops.take(ops.reshape(self.quantizer.lengths(), (-1,)), symbols + CENTRES * channel)
        return ops.sum(lengths, axis=(1, 2, 3))

    def coded(self, x, training: bool, noise=None):
        """{"x_hat", "bits"} of pixels; hard values with the gradient of soft ones in training."""
        found = self.quantizer.assign(self.analysis(networks.on_one(x)), training)
        return {"x_hat": self.draw(found.value, noise), "bits": self.symbol_bits(found.symbols)}

    def call(self, x, training=None):
        """See the class."""
        return self.coded(x, bool(training))


@keras.saving.register_keras_serializable("kompakt")
class ExtremeGan(Game):
    """The codec, and the critic that it is trained against; it answers as `ExtremeCodec` does."""

    config_class, codec_class = ExtremeOptions, ExtremeCodec

    def __init__(self, config: ExtremeOptions, **kwargs):
        super().__init__(config, **kwargs)
        self.codec = self.codec_class(config, name="codec")
        self.critic = self.judge() if config.adversarial else None
        self.noise = keras.random.SeedGenerator(config.seed)

    def judge(self) -> keras.layers.Layer:
        """The critic."""
        return networks.Critic(3, self.config.critic_channels, self.config.scales, name="critic")

    def example(self) -> Batch:
        """See `Game`."""
        return Batch(ops.zeros((1, 4 * networks.STRIDE, 4 * networks.STRIDE, 3)))

    def generate(self, x):
        """See `Game`."""
        return self.codec(x, training=False)

    def made(self, x, training: bool):
        """What the codec gives for inputs, noisily in training."""
        noise = None
        if training and self.config.noise:
            sides = ops.shape(x)[1] // networks.STRIDE, ops.shape(x)[2] // networks.STRIDE
            noise = keras.random.normal((ops.shape(x)[0], *sides, self.config.noise), seed=self.noise)
        return self.codec.coded(x, training, noise)

    def pixels(self, x):
        """The pictures in the inputs, [B, H, W, 3] float32 in [0, 1]."""
        return ops.cast(x, "float32")

    def criticised(self, x, pixels):
        """What the critic is given for pictures, those of the inputs or made ones."""
        return networks.on_one(pixels)

    def errors(self, x, pixels):
        """(Squared errors of made pictures that are learned from, mean over what counts), [B] each, of [0, 1]."""
        mse = ops.mean(ops.square(self.pixels(x) - pixels), axis=(1, 2, 3))
        return mse, mse

    def generator_loss(self, batch: Batch, training: bool):
        """Terms: mse on [0, 1], psnr in dB, bpp by the histograms; deceived and features of the critic."""
        x, found = self.pixels(batch.x), self.made(batch.x, training)
        learned, mse = self.errors(batch.x, found["x_hat"])
        area = ops.cast(ops.shape(x)[1] * ops.shape(x)[2], "float32")
        terms = {"mse": mse, "psnr": -10.0 * ops.log10(ops.maximum(mse, 1e-10)), "bpp": found["bits"] / area}
        loss = 4.0 * self.config.distortion * learned  # [-1, 1] is twice as wide
        if self.critic is not None:
            told, known = (self.critic(self.criticised(batch.x, p)) for p in (found["x_hat"], x))
            terms["deceived"] = losses.least_squares(networks.scores(told), 1.0)
            terms["features"] = losses.feature_matching(networks.features(known), networks.features(told))
            loss = loss + terms["deceived"] + self.config.matching * terms["features"]
        return ops.mean(weighed(loss, batch.weight)), {name: ops.mean(value) for name, value in terms.items()}

    def critic_loss(self, batch: Batch, training: bool):
        """Terms: real and made, by least squares."""
        pictures = self.pixels(batch.x), self.made(batch.x, training)["x_hat"]
        real, made = (self.critic(self.criticised(batch.x, p)) for p in pictures)
        terms = {
            "real": losses.least_squares(networks.scores(real), 1.0),
            "made": losses.least_squares(networks.scores(made), 0.0),
        }
        loss = ops.mean(weighed(terms["real"] + terms["made"], batch.weight))
        return loss, {name: ops.mean(value) for name, value in terms.items()}


def build(config: ExtremeOptions) -> keras.Model:
    """Makes the game, or its codec, under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = (ExtremeGan if config.part == "game" else ExtremeCodec)(config)
        model(ops.zeros((1, 4 * networks.STRIDE, 4 * networks.STRIDE, 3), "float32"))
    return model


def phases(config: ExtremeOptions, files):
    """Without a critic, if that has a share of the steps, and the game from what that gave."""
    plain = int(config.steps * config.plain_share) if config.adversarial else 0
    if plain:
        yield Phase("plain", plain, {"adversarial": False})
    if config.steps > plain:
        options = {"seed": config.seed + 1} if plain else {}
        yield Phase("game" if plain else "", config.steps - plain, options, inherit=inherit)


def inherit(model: ExtremeGan, before: ExtremeGan) -> None:
    """Hands the codec on, as it would be served."""
    before.settle()
    model.codec.set_weights(before.codec.get_weights())
    model.restart()


def codec_of(model: keras.Model, config: ExtremeOptions):
    """The codec alone, with averaged weights, and its configuration: nothing of the critic is left."""
    if config.part == "codec":
        return model, config
    model.settle()
    return model.codec, dataclasses.replace(config, part="codec")


def served(model: keras.Model, config: ExtremeOptions):
    """As of a recipe."""
    return RECIPE, *codec_of(model, config)


def signatures(model: ExtremeCodec, config: ExtremeOptions):
    """The module to save."""
    from models.generative.extreme_serving import ExtremePayload  # TensorFlow, which training does without
    from models.generative.perception.served import PerceptualServer

    return PerceptualServer(ExtremePayload(model, config))


SMALL = {"filters": 16, "latents": 8, "blocks": 3, "critic_channels": 16, "scales": 2, "crop_size": 128,
         "batch_size": 4, "steps": 3000, "learning_rate": 4e-4, "plain_share": 0.25, "average": 0.99}  # fmt: skip
PAPER = {"crop_size": 512, "batch_size": 1, "steps": 1_000_000, "steps_per_epoch": 5000, "learning_rate": 2e-4,
         "warmup_fraction": 0.0, "final_rate_fraction": 1.0, "gradient_clip_norm": 0.0}  # fmt: skip
EVALUATION = Evaluation(
    metrics=(
        Metric("bpp", "bpp", "lower", upper_bound=24.0, title="real rate"),
        Metric("psnr_db", "dB", "higher", lower_bound=10.0, tolerance=1.0, title="PSNR"),
        Metric("ms_ssim", "", "higher", lower_bound=0.2, title="MS-SSIM"),
        Metric("estimated_bpp", "bpp", "lower", title="estimated rate"),
        Metric("bound_bpp", "bpp", "lower", title="bound of the rate"),
        *METRICS,
    ),
    slices=("image/size_class",),
    comparable=("latents", "adversarial"),
)

RECIPE = Recipe(
    name="extreme_gan",
    shape="codec",
    summary="Image codec for extreme rates with an adversarially trained generator (arXiv:1804.02958)",
    config=ExtremeOptions,
    presets={"small": SMALL, "paper": PAPER},
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=EVALUATION,
    served=served,
    compile=compile_game,
    callbacks=reconstructions.callbacks,
    report=("perception", "rate_distortion"),
    batching=False,
    judge=Judge("val_mse"),
    phases=phases,
)
