"""Step one of distribution-preserving compression: a generator for a normal prior (arXiv:1805.11057).

wae             pixels --encoder--> latent vector --generator--> pixels, the latent vectors like the prior's draws
wgan_gp         draws --generator--> pixels, which a critic takes for real
wasserstein_pp  both at once, with the critic at draws between latent vectors and the prior's
"""

import keras
from keras import ops

from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.generative import latent_networks as networks
from models.generative.discrepancy import mmd
from models.generative.distribution_options import JUDGED, DistributionPreservingConfig, errors_of, root_mse
from models.generative.game import Batch, Game
from models.generative.losses import gradient_penalty, mean_score, wasserstein


@keras.saving.register_keras_serializable("kompakt")
class GeneratorGame(Game):
    """Step one. With an encoder, but for `wgan_gp`; with a critic, but for `wae`.

    The critic of `wasserstein_pp` sees what is drawn from random points between latent vectors of pictures and draws of
    the prior, and tells the encoder nothing.
    """

    config_class = DistributionPreservingConfig

    def __init__(self, config: DistributionPreservingConfig, **kwargs):
        super().__init__(config, **kwargs)
        sizes = config.crop_size, config.channels
        together = config.generator == "wae"  # in a turn, devices can share nothing
        self.generator = networks.generator(*sizes, config.latents, together)
        self.encodes = config.generator != "wgan_gp"
        if self.encodes:
            self.trunk = networks.trunk(*sizes, together)
            self.latent_head = networks.latent_head(config.features, config.latents, together)
        if config.generator != "wae":
            self.critic = networks.critic(*sizes)
        self.score_weight = 1.0 if config.generator == "wgan_gp" else config.critic_weight
        self.seeds = keras.random.SeedGenerator(config.seed)

    def example(self) -> Batch:
        """A batch of zeros."""
        return Batch(ops.zeros((2, self.config.crop_size, self.config.crop_size, 3)))

    def generate(self, x):
        """As `DistributionPreserving` gives them: pixels, without any rate limit, or draws where nothing is encoded."""
        count = ops.shape(x)[0]
        latent = self._latent(2.0 * x - 1.0, False) if self.encodes else self._prior(count)
        made = ops.cast(self.generator(latent, training=False), "float32")
        return {"x_hat": (made + 1.0) / 2.0, "latent": latent}

    def _prior(self, count):
        return keras.random.normal((count, self.config.latents), seed=self.seeds)

    def _latent(self, pixels, training: bool):
        """Pixels in [-1, 1] -> [B, latents] float32."""
        found = self.latent_head(self.trunk(pixels, training=training), training=training)
        return ops.cast(found, "float32")

    def _made(self, latent, count, training: bool):
        """What the critic sees, pixels in [-1, 1] float32: of the prior, or of points between that and `latent`."""
        given = self._prior(count)
        if latent is not None:
            share = keras.random.uniform((count, 1), seed=self.seeds)
            given = share * ops.stop_gradient(latent) + (1.0 - share) * given
        return ops.cast(self.generator(given, training=training), "float32")

    def generator_loss(self, batch: Batch, training: bool):
        """(loss of encoder and generator, its terms)."""
        x, count = 2.0 * ops.cast(batch.x, "float32") - 1.0, ops.shape(batch.x)[0]
        loss, terms, latent = 0.0, {}, None
        if self.encodes:
            latent = self._latent(x, training)
            errors = errors_of(x, self.generator(latent, training=training))
            root, discrepancy = root_mse(errors, batch.weight), mmd(latent, self._prior(count))
            loss = root + self.config.mmd_weight * discrepancy
            terms = {"mse": ops.mean(errors) / 4.0, "rmse": root, "mmd": discrepancy,
                     "objective": root + JUDGED * discrepancy}  # fmt: skip
        if self.critic is not None:
            score = ops.mean(weighed(mean_score(self.critic(self._made(latent, count, training))), batch.weight))
            loss, terms = loss - self.score_weight * score, terms | {"score": score}
        return loss, terms

    def critic_loss(self, batch: Batch, training: bool):
        """(loss of the critic, its terms)."""
        x, count = 2.0 * ops.cast(batch.x, "float32") - 1.0, ops.shape(batch.x)[0]
        made = self._made(self._latent(x, training) if self.encodes else None, count, training)
        less = wasserstein(self.critic(made), self.critic(x))
        place = keras.random.uniform((count, 1, 1, 1), seed=self.seeds)
        penalty = gradient_penalty(self.critic, x, made, place, self.config.penalty)
        loss = ops.mean(weighed(less + self.config.penalty_weight * penalty, batch.weight))
        terms = {"distance": -ops.mean(less), "penalty": ops.mean(penalty)}
        return loss, terms if self.encodes else terms | {"objective": terms["distance"]}


def build_game(config: DistributionPreservingConfig) -> GeneratorGame:
    """Makes what step one trains, likewise."""
    with policy_of(config):
        model = GeneratorGame(config)
        model.build()
    return model
