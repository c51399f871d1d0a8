"""Selective generative compression (arXiv:1804.02958): some regions are coded, all others are made up from labels.

    pixels --stride 8--> nearest of -2..2, times heat map --> stride 16 --.
    labels of pixels ------------------------------------> stride 16 --'--synthesis--> pixels

The stream holds the symbols of what is preserved, the heat map that says where that is, and the label map. The critic
sees pictures beside their labels and judges them whole; the distortion counts where pictures are preserved. A share of
the training's examples is preserved whole and has no labels: what `compress` does with a picture alone.
"""

import dataclasses

import keras
from keras import ops

from models.contract.configured import Configured
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Recipe, option
from models.contract.training import Judge
from models.generative import extreme_networks as networks
from models.generative.extreme_gan import CENTRES, PAPER, REACH, SMALL, ExtremeGan, ExtremeOptions, codec_of, phases
from models.generative.game import Batch, compile_game
from models.generative.perception.metrics import METRICS
from models.generative.selective_inputs import LABELS, MASK, PART, PICTURE, adapt, inputs
from models.layers.vector_quantizer import VectorQuantizer


@dataclasses.dataclass(frozen=True)
class SelectiveOptions(ExtremeOptions):
    """Options besides those of the codec without labels."""

    classes: int = option(0, "number of classes (0: as many as the training data have)", low=0, high=255)
    class_names: str = option("", "their names, a JSON list (empty: those of the training data)")
    masks: str = option(
        "both", "what training preserves: a box of any place and size, a quarter of the classes, or either",
        choices=("box", "classes", "both"),
    )  # fmt: skip
    whole_share: float = option(0.1, "share of the examples that are preserved whole, without labels", low=0.0,
                                high=1.0)  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.noise:
            raise ConfigError(f"noise={self.noise}: what is made up here is made of labels; noise is extreme_gan's")


@keras.saving.register_keras_serializable("kompakt")
class SelectiveCodec(Configured):
    """Encoder, quantiser, encoder of labels, generator.

    `call` takes {"picture": [B, H, W, 3] float32 in [0, 1]; "labels": [B, H, W] integers, whatever is no class has
    none; "mask": [B, H/8, W/8] float32, 1 where the picture is preserved}, H and W multiples of 16, and returns
    {"x_hat": [B, H, W, 3] float32 in [0, 1]; "bits": [B] float32, of what is preserved, by the histograms}.
    """

    config_class = SelectiveOptions
    stride, tile = networks.STRIDE, 48

    def __init__(self, config: SelectiveOptions, **kwargs):
        super().__init__(config, **kwargs)
        n, symbols = config.filters, config.latents
        self.halo = networks.halo(config.blocks) + 3  # the label encoder and the head reach farther than the pixels'
        self.analysis = keras.Sequential([*networks.encoder(3, n, 3), networks.convolution(symbols)], name="analysis")
        self.quantizer = VectorQuantizer(CENTRES, mode="ste", learned=False, reach=REACH, groups=symbols,
                                         name="quantizer")  # fmt: skip
        layers = [keras.Input((None, None, symbols + 1)), networks.convolution(8 * n), *networks.rectified()]
        layers += [networks.convolution(16 * n, 3, 2), *networks.rectified()]
        self.head = keras.Sequential(layers, name="head")
        self.label_encoder = keras.Sequential(networks.encoder(config.classes, n), name="label_encoder")
        self.synthesis = networks.synthesis(n, 32 * n, config.blocks, config.upsampling)
        self.tables, self.reads = None, ()

    def symbols(self, x):
        """Pixels [B, H, W, 3] in [0, 1] -> int32 [B, H/8, W/8, C], 0 to 4, whatever is preserved."""
        return self.quantizer.symbols(self.analysis(networks.on_one(x)))

    def draw(self, values, mask, labels):
        """Centres [B, h, w, C], heat map [B, h, w], labels [B, 8h, 8w] -> pixels [B, 8h, 8w, 3] in [0, 1]."""
        mask = ops.cast(mask, "float32")[..., None]
        seen = self.head(ops.concatenate([values * mask, mask], axis=-1))
        both = ops.concatenate([seen, self.label_encoder(one_hot(labels, self.config.classes))], axis=-1)
        return 0.5 + 0.5 * ops.cast(self.synthesis(both), "float32")

    def draw_symbols(self, symbols, mask, labels):
        """Likewise of symbols int32 [B, h, w, C]."""
        return self.draw(self.quantizer.values(symbols), mask, labels)

    def coded(self, x, training: bool, noise=None):
        """{"x_hat", "bits"} of a scene; hard values with the gradient of soft ones in training."""
        found = self.quantizer.assign(self.analysis(networks.on_one(x[PICTURE])), training)
        lengths = ops.reshape(self.quantizer.lengths(), (-1,))
        channel = CENTRES * ops.arange(self.config.latents, dtype="int32")
        bits = ops.sum(ops.take(lengths, found.symbols + channel), axis=-1) * ops.cast(x[MASK], "float32")
        return {"x_hat": self.draw(found.value, x[MASK], x[LABELS]), "bits": ops.sum(bits, axis=(1, 2))}

    def call(self, x, training=None):
        """See the class."""
        return self.coded(x, bool(training))


def one_hot(labels, classes: int):
    """[B, H, W] -> [B, H, W, classes] float32, of zeros where there is no class."""
    return ops.cast(ops.cast(labels, "int32")[..., None] == ops.arange(classes, dtype="int32"), "float32")


@keras.saving.register_keras_serializable("kompakt")
class SelectiveGan(ExtremeGan):
    """The codec, and the critic of pictures beside their labels."""

    config_class, codec_class = SelectiveOptions, SelectiveCodec

    def judge(self) -> keras.layers.Layer:
        """See `ExtremeGan`."""
        options = self.config
        return networks.Critic(3 + options.classes, options.critic_channels, options.scales, name="critic")

    def example(self) -> Batch:
        """See `Game`."""
        return Batch(_zeros())

    def made(self, x, training: bool):
        """See `ExtremeGan`."""
        return self.codec.coded(x, training)

    def pixels(self, x):
        """See `ExtremeGan`."""
        return ops.cast(x[PICTURE], "float32")

    def criticised(self, x, pixels):
        """See `ExtremeGan`."""
        return ops.concatenate([networks.on_one(pixels), one_hot(x[LABELS], self.config.classes)], axis=-1)

    def errors(self, x, pixels):
        """Squared errors where pictures are preserved: mean over all pixels, and over the preserved ones."""
        mask = ops.repeat(ops.repeat(ops.cast(x[MASK], "float32"), PART, axis=1), PART, axis=2)
        each = ops.mean(ops.square(self.pixels(x) - pixels), axis=-1) * mask
        learned, share = ops.mean(each, axis=(1, 2)), ops.mean(mask, axis=(1, 2))
        return learned, learned / ops.maximum(share, 1e-6)


def _zeros() -> dict:
    side = 4 * networks.STRIDE
    part = side // PART
    return {PICTURE: ops.zeros((1, side, side, 3)), LABELS: ops.zeros((1, side, side), "int32"),
            MASK: ops.ones((1, part, part))}  # fmt: skip


def build(config: SelectiveOptions) -> keras.Model:
    """As `extreme_gan.build`; where the classes are not known yet there are two."""
    config = config if config.classes else dataclasses.replace(config, classes=2)
    with policy_of(config):
        model = (SelectiveGan if config.part == "game" else SelectiveCodec)(config)
        model(_zeros())
    return model


def served(model: keras.Model, config: SelectiveOptions):
    """As of a recipe."""
    return RECIPE, *codec_of(model, config)


def signatures(model: SelectiveCodec, config: SelectiveOptions):
    """The module to save."""
    from models.generative.selective_serving import SelectivePayload, SelectiveServer

    return SelectiveServer(SelectivePayload(model, config))


EVALUATION = Evaluation(
    metrics=(
        Metric("bpp", "bpp", "lower", upper_bound=24.0, title="real rate, a box of a quarter preserved"),
        Metric("side_bpp", "bpp", "lower", title="of it labels and heat map"),
        Metric("inside_psnr_db", "dB", "higher", lower_bound=8.0, tolerance=1.0, title="PSNR of what is preserved"),
        Metric("psnr_db", "dB", "higher", title="PSNR"),
        Metric("ms_ssim", "", "higher", title="MS-SSIM"),
        *METRICS,
    ),
    slices=("image/size_class",),
    comparable=("latents", "adversarial"),
)

RECIPE = Recipe(
    name="extreme_selective",
    shape="selective",
    summary="Selective generative compression of scenes with label maps (arXiv:1804.02958)",
    config=SelectiveOptions,
    presets={"small": SMALL | {"crop_size": 96}, "paper": PAPER | {"upsampling": "resize"}},
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=EVALUATION,
    adapt=adapt,
    served=served,
    compile=compile_game,
    data="scenes",
    report=("perception", "rate_distortion"),
    batching=False,
    judge=Judge("val_mse"),
    phases=phases,
)
