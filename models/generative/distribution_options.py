"""Options of distribution-preserving compression, and the terms that both of its steps have."""

import dataclasses
import math

from keras import ops

from models.contract.example_weights import weighed
from models.contract.recipe import ConfigError, Search, option
from models.generative import latent_networks as networks
from models.generative.game import GameConfig

JUDGED = 100.0  # weight of the discrepancy in what trainings are compared by, whatever they are trained with
_LEAST = 1e-8  # below the root, whose slope at zero is infinite


@dataclasses.dataclass(frozen=True)
class DistributionPreservingConfig(GameConfig):
    """Options of both steps. The learning rate and `critic_steps` are of step one."""

    batch_size: int = option(64, "examples a step, of which statistics and the discrepancy are taken", low=8)
    critic_steps: int = option(5, "updates of the critic before each of the generator (n)", low=1)
    channels: int = option(64, "filters next to the pixels, of every network", search=Search(choices=(16, 24, 32, 64)),
                           low=1)  # fmt: skip
    latents: int = option(128, "dimension of the latent vector", search=Search(choices=(32, 64, 128)), low=1)
    crop_size: int = option(64, "side of the pictures, pixels, a power of two; larger ones are coded in pieces", low=16)
    generator: str = option(
        "wasserstein_pp", "how step one learns the generator; given: it does not, `init` has one",
        choices=("wae", "wgan_gp", "wasserstein_pp", "given"),
    )  # fmt: skip
    code_channels: int = option(8, "numbers at each of 16 places that are sent; 0: nothing is", low=0, high=128)
    levels: int = option(2, "values that a number can have", choices=(2, 4, 8, 16))
    blocks: int = option(2, "residual blocks of the stochastic map", low=0, high=8)
    noise: bool = option(True, "whether that map is given noise")
    mse_only: bool = option(False, "the plain auto-encoder of as many bits: one step, all for the squared error")
    mmd_weight: float = option(100.0, "of the discrepancy to the prior in step one", low=0.0,
                               search=Search(10.0, 1000.0, log=True))  # fmt: skip
    code_mmd_weight: float = option(300.0, "likewise in step two, to be retuned with the rate", low=0.0,
                                    search=Search(10.0, 1000.0, log=True))  # fmt: skip
    critic_weight: float = option(
        1.6e-3, "of the critic's score in wasserstein_pp; with penalty=position the published 2.5e-5", low=0.0,
        search=Search(1e-4, 1e-1, log=True),
    )  # fmt: skip
    penalty_weight: float = option(10.0, "of the critic's gradient penalty", low=0.0)
    penalty: str = option("image", "whose gradient has norm one: an image's, or a position's over its channels",
                          choices=("image", "position"))  # fmt: skip
    generator_share: float = option(0.6, "share of the steps for step one", low=0.0, high=1.0)
    code_learning_rate: float = option(1e-3, "peak of the schedule of step two", low=0.0)
    stage: str = option("code", "what is trained; the phases decide", choices=("generator", "code"))

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size & (self.crop_size - 1):
            raise ConfigError(f"crop_size={self.crop_size}: must be a power of two")
        if self.generator == "given" and not self.init:
            raise ConfigError("generator=given: say with init=MODEL which pushed model has it")
        if not self.code_channels and (self.mse_only or self.generator == "given"):
            raise ConfigError("code_channels=0: nothing is sent, and so there is nothing to learn behind a generator")
        if self.code_channels and not self.mse_only and self.generator_share >= 1:
            raise ConfigError(f"generator_share={self.generator_share}: nothing is left for step two")

    @property
    def noise_channels(self) -> int:
        """Numbers of noise at each of the places: with them the map has as many inputs as outputs, without codes."""
        return math.ceil(self.latents / networks.GRID**2) if self.noise and not self.mse_only else 0

    @property
    def reach(self) -> float:
        """Half of a quantisation cell, and of the interval of the noise."""
        return 1.0 / self.levels

    @property
    def bits(self) -> int:
        """That are sent for a picture of `crop_size`."""
        return networks.GRID**2 * self.code_channels * (self.levels - 1).bit_length()

    @property
    def features(self) -> int:
        """Channels of the trunk's output."""
        return self.channels << (networks.levels(self.crop_size) - 1)


def root_mse(errors, weights=None):
    """Root of the batch's mean squared error: [B] of each example, with weights [B] -> scalar."""
    return ops.sqrt(ops.mean(weighed(errors, weights)) + _LEAST)


def errors_of(x, x_hat):
    """Mean squared error of each example, [B] float32; pixels [B, S, S, 3]."""
    return ops.mean(ops.square(ops.cast(x, "float32") - ops.cast(x_hat, "float32")), axis=(1, 2, 3))
