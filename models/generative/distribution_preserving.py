"""Compression whose pictures are distributed as the data are, at every rate down to none (DPLC, arXiv:1805.11057).

    step one:  pixels --encoder--> latent vector --generator--> pixels, or a prior's draws alone
    step two:  pixels --encoder--> codes, with noise --mapper--> latent vector --generator, frozen--> pixels

Step one learns a generator for a normal prior, as a Wasserstein auto-encoder (`wae`, arXiv:1711.01558), against a
critic (`wgan_gp`, arXiv:1704.00028), or as both at once (`wasserstein_pp`). Step two learns what is sent, 16 values of
`levels` levels a code channel, and a stochastic map behind it that gives the prior back. Losses are

    sqrt(MSE) + mmd_weight MMD(latent vectors, prior) [- critic_weight mean score]         of pixels in [-1, 1]

Without code channels nothing is sent and decoding is drawing from the generator. Differences to the published code: the
penalty's norm is that of a whole picture (`penalty`), and a frozen generator has frozen statistics, those of the prior.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from models.codecs.reconstructions import callbacks
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Recipe
from models.contract.training import Judge, Phase
from models.generative import latent_networks as networks
from models.generative.discrepancy import mmd
from models.generative.distribution_options import JUDGED, DistributionPreservingConfig, errors_of, root_mse
from models.generative.game import compile_game
from models.generative.generator_game import GeneratorGame, build_game
from models.generative.inputs import inputs
from models.generative.perception.metrics import METRICS
from models.layers.vector_quantizer import VectorQuantizer
from models.training import replicas
from models.training.optimizers import optimizer


@keras.saving.register_keras_serializable("kompakt")
class DistributionPreserving(Configured):
    """What step two trains and what is served.

    `call` takes pixels [B, S, S, 3] float32 in [0, 1] with S = `crop_size` and returns {"x_hat": likewise; "bits": [B]
    float32; "latent", "prior": [B, latents] float32, what is drawn from and draws of the prior}. Outside of training
    the noise is the same for each place in a batch, so that epochs can be compared.
    """

    config_class = DistributionPreservingConfig
    tables, reads = None, ()  # no coder has any

    def __init__(self, config: DistributionPreservingConfig, generator: keras.Model | None = None, **kwargs):
        super().__init__(config, **kwargs)
        sizes = config.crop_size, config.channels
        self.generator = generator or networks.generator(*sizes, config.latents)
        if config.code_channels:
            self.trunk = networks.trunk(*sizes)
            self.code_head = networks.code_head(config.features, config.code_channels)
            self.quantizer = VectorQuantizer(
                config.levels, mode="ste", learned=False, reach=1.0 - config.reach, name="quantizer"
            )
            depth = config.code_channels + config.noise_channels
            self.mapper = networks.mapper(depth, config.features, config.latents, config.blocks)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("mse", "psnr", "rmse", "mmd", "objective")]
        self.seeds = keras.random.SeedGenerator(config.seed)
        drawn = np.random.default_rng(0)  # of no option: weights that are loaded give the same again
        places = (config.batch_size, networks.GRID, networks.GRID, config.noise_channels)
        self.fixed_noise = drawn.uniform(-config.reach, config.reach, places).astype("float32")
        self.fixed_prior = drawn.standard_normal((config.batch_size, config.latents)).astype("float32")

    def save_own_variables(self, store):
        """Keras saves no state of its random numbers; a killed training would draw those of its beginning again."""
        store["seeds"] = ops.convert_to_numpy(self.seeds.state)

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        self.seeds.state.assign(store["seeds"])

    def symbols(self, x):
        """Pixels [B, S, S, 3] in [0, 1] -> what is sent, int32 [B, 4, 4, code_channels] below `levels`."""
        return self.quantizer.symbols(self.code_head(self.trunk(2.0 * x - 1.0)))

    def latent(self, codes, noise, training: bool = False):
        """Codes and noise [B, 4, 4, ...] float32 -> latent vectors [B, latents] float32."""
        given = ops.concatenate([codes, noise], axis=-1) if self.config.noise_channels else codes
        return ops.cast(self.mapper(given, training=training), "float32")

    def draw(self, latent, training: bool = False):
        """Latent vectors [B, latents] -> pixels [B, S, S, 3] float32 in [0, 1]."""
        return (ops.cast(self.generator(latent, training=training), "float32") + 1.0) / 2.0

    def call(self, x, training=None):
        """Codes and decodes pixels, see the class."""
        training, count = bool(training), ops.shape(x)[0]
        latent = prior = self._drawn(self.fixed_prior, keras.random.normal, count, training)
        if self.config.code_channels:
            codes = self.quantizer(self.code_head(self.trunk(2.0 * x - 1.0, training=training)), training=training)
            latent = self.latent(codes, self._drawn(self.fixed_noise, self._uniform, count, training), training)
        x_hat = self.draw(latent, training)
        bits = ops.zeros_like(latent[:, 0]) + float(self.config.bits)
        return {"x_hat": x_hat, "bits": bits, "latent": latent, "prior": prior}

    def _uniform(self, shape, seed):
        return keras.random.uniform(shape, -self.config.reach, self.config.reach, seed=seed)

    def _drawn(self, fixed: np.ndarray, draw, count, training: bool):
        """Random numbers for each of a batch, [count, ...] float32."""
        if training:
            return draw((count, *fixed.shape[1:]), seed=self.seeds)
        places = (ops.arange(count, dtype="int32") + replicas.start(count)) % len(fixed)
        return ops.take(ops.convert_to_tensor(fixed), places, axis=0)

    def _terms(self, x, outputs, weights=None):
        """Root of the mean squared error, and discrepancy, of the whole batch: scalars."""
        errors = 4.0 * weighed(errors_of(x, outputs["x_hat"]), weights)
        latent, prior = (replicas.gathered(outputs[name]) for name in ("latent", "prior"))
        return root_mse(replicas.gathered(errors)), mmd(latent, prior)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Loss of weighed examples, scalar."""
        root, discrepancy = self._terms(x, y_pred, sample_weight)
        return root + (0.0 if self.config.mse_only else self.config.code_mmd_weight) * discrepancy

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Means of MSE on [0, 1] and PSNR in dB over examples, of the batches' terms, and what they are judged by."""
        errors, (root, discrepancy) = errors_of(x, y_pred["x_hat"]), self._terms(x, y_pred)
        psnr = -10.0 * ops.log10(ops.maximum(errors, 1e-10))
        values = (errors, psnr, root, discrepancy, root + JUDGED * discrepancy)
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def build(config: DistributionPreservingConfig) -> DistributionPreserving:
    """Makes the codec under its dtype policy and runs it once, so that every variable exists."""
    with policy_of(config):
        model = DistributionPreserving(config)
        model(ops.zeros((1, config.crop_size, config.crop_size, 3), "float32"))
    return model


def compile_model(model: keras.Model, config: DistributionPreservingConfig) -> None:
    """Compiles either step's model."""
    if config.stage == "generator":
        return compile_game(model, config)
    return model.compile(optimizer=optimizer(config, beta_1=config.first_moment))


def phases(config: DistributionPreservingConfig, files):
    """The generator, unless it is given; codes and stochastic map behind it, unless nothing is sent."""
    second = {"learning_rate": config.code_learning_rate, "seed": config.seed + 1}
    if config.mse_only:
        yield Phase("code", config.steps, second)
        return
    if config.generator == "given":
        must_fit(config)
        yield Phase("code", config.steps, second, build=build, frozen=lambda model: [model.generator])
        return
    first = int(config.steps * config.generator_share) if config.code_channels else config.steps
    if first:
        yield Phase("generator", first, {"stage": "generator"}, build=build_game)
    if config.code_channels:
        yield Phase("code", config.steps - first, second, inherit=inherit, frozen=lambda model: [model.generator])


def must_fit(config: DistributionPreservingConfig) -> None:
    """Raises ConfigError unless the model that `init` names has a generator of these sizes."""
    from models.publishing import pushed

    _, recipe, given = pushed.chosen("init", config.init)
    sizes = ("crop_size", "channels", "latents")
    if recipe.name != RECIPE.name or any(getattr(given, name) != getattr(config, name) for name in sizes):
        wanted = ", ".join(f"{name}={getattr(config, name)}" for name in sizes)
        raise ConfigError(f"init={config.init}: has no generator of {wanted}")


def inherit(model: DistributionPreserving, before: GeneratorGame) -> None:
    """Takes the generator of step one, and its encoder up to the features where there is one."""
    before.settle()
    model.generator.set_weights(before.generator.get_weights())
    settle(model.generator, model.config)
    if before.encodes:
        model.trunk.set_weights(before.trunk.get_weights())


def settle(generator: keras.Model, config: DistributionPreservingConfig, batches: int = 20, size: int = 128) -> None:
    """Takes the generator's batch statistics from draws of the prior: training left those of other inputs as well."""
    drawn = np.random.default_rng(config.seed)
    for _ in range(batches):
        generator(drawn.standard_normal((size, config.latents)).astype("float32"), training=True)


def served(model: keras.Model, config: DistributionPreservingConfig):
    """What is exported: of a model of step one the generator alone, as a codec that sends nothing."""
    if isinstance(model, DistributionPreserving):
        return RECIPE, model, config
    model.settle()
    settle(model.generator, config)
    config = dataclasses.replace(config, stage="code", code_channels=0)
    part = DistributionPreserving(config, model.generator)
    part(ops.zeros((1, config.crop_size, config.crop_size, 3), "float32"))
    return RECIPE, part, config


def signatures(model: DistributionPreserving, config: DistributionPreservingConfig):
    """The module to save."""
    from models.generative.patch_serving import (
        GenerativeServer,
        PatchPayload,
    )  # TensorFlow, which training does without

    return GenerativeServer(PatchPayload(model, config))


EVALUATION = Evaluation(
    metrics=(
        Metric("bpp", "bpp", "lower", upper_bound=40.0, title="real rate"),
        Metric("psnr_db", "dB", "higher", lower_bound=5.0, title="PSNR"),
        Metric("ms_ssim", "", "higher", title="MS-SSIM"),
        Metric("estimated_bpp", "bpp", "lower", title="rate of the codes"),
        Metric("noise_variance", "", "higher", title="variance over the noise"),
        *METRICS,
    ),
    slices=("image/size_class",),
    comparable=("code_channels", "levels", "crop_size", "mse_only"),
)

_ONE_SIZE = {"warmup_fraction": 0.01, "gradient_clip_norm": 0.0}

RECIPE = Recipe(
    name="distribution_preserving",
    shape="codec",
    summary="Compression that preserves the distribution of pictures at every rate, DPLC (arXiv:1805.11057)",
    config=DistributionPreservingConfig,
    presets={
        "small": _ONE_SIZE | {"channels": 16, "latents": 32, "crop_size": 32, "batch_size": 64, "steps": 7000,
                              "learning_rate": 1e-3, "critic_rate": 0.3, "critic_steps": 1,
                              "critic_weight": 3e-3, "code_mmd_weight": 30.0, "average": 0.0},
        "paper": _ONE_SIZE | {"channels": 64, "latents": 128, "batch_size": 256, "steps": 161_000,
                              "steps_per_epoch": 5000, "learning_rate": 3e-4, "critic_rate": 1 / 3,
                              "generator_share": 0.78, "average": 0.0},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=EVALUATION,
    judge=Judge(name="val_objective"),
    phases=phases,
    compile=compile_model,
    callbacks=callbacks,
    served=served,
    report=("perception", "rate_distortion"),
    batching=False,
)  # fmt: skip
