"""CNN and LSTM on the log spectrogram of an electrocardiogram (arXiv:1710.06122), trained in phases.

The authors run two stacks of LSTMs, one forwards and one backwards, and join them behind the last layer; here each
layer is bidirectional, so that the directions mix at every layer. Their phases 3 and 4 (everything, again at lower
rates) are the cosine of the last phase here.
"""

import dataclasses
import functools

import keras

from models.contract.recipe import ConfigError, Recipe, Search, option
from models.contract.training import Phase
from models.ecg import ecg
from models.ecg.masked_layers import MaskedBidirectionalLSTM, MaskedMean
from models.ecg.recipe import shared
from models.training import initial


@dataclasses.dataclass(frozen=True)
class EcgCrnnConfig(ecg.SpectrogramConfig):
    """Options of the CNN with LSTMs, and of its phases."""

    blocks: int = option(4, "blocks, each of which halves time and frequency", low=1, high=8)
    lstm_units: int = option(64, "units of an LSTM, each direction", search=Search(choices=(32, 64, 100)), low=1)
    lstm_layers: int = option(2, "bidirectional LSTMs, one upon the other", search=Search(choices=(1, 2, 3)), low=1)
    hidden: int = option(200, "units of the dense layer that stands for the LSTMs in the first phase", low=1)
    cnn_share: float = option(0.5, "share of the steps of the first phase: the CNN alone", low=0.0, high=1.0)
    lstm_share: float = option(0.2, "share of the steps of the second phase: the LSTMs", low=0.0, high=1.0)
    joint_rate: float = option(0.3, "peak learning rate of the last phase, everything, over the others'", low=0.0)

    def __post_init__(self):
        super().__post_init__()
        if self.cnn_share + self.lstm_share >= 1:
            shares = f"cnn_share={self.cnn_share}, lstm_share={self.lstm_share}"
            raise ConfigError(f"{shares}: nothing is left for the last phase")


@keras.saving.register_keras_serializable("kompakt")
class EcgCrnn(ecg.Ecg):
    """Bidirectional LSTMs over the features of the frames, averaged over those that count, and one dense layer."""

    config_class = EcgCrnnConfig

    def logits(self, features, frames, config):
        for _ in range(config.lstm_layers):
            features = MaskedBidirectionalLSTM(config.lstm_units)(features, frames)
        return ecg.mean_logits(features, frames, config.classes)


@keras.saving.register_keras_serializable("kompakt")
class EcgPretraining(ecg.Ecg):
    """The first phase: the averaged features through a dense layer instead of LSTMs."""

    config_class = EcgCrnnConfig

    def logits(self, features, frames, config):
        hidden = keras.layers.Dense(config.hidden, activation="relu")(MaskedMean()(features, frames))
        return ecg.dense_logits(hidden, config.classes)


def phases(config: EcgCrnnConfig, files):
    """The CNN alone under a mean and a dense layer; the LSTMs on top of it; everything, at a lower rate.

    Each begins with the best epoch of the one before. While the LSTMs learn the CNN stays as it is, its batch
    normalisation included. A share of 0 leaves a phase out. A pushed CRNN (`config.init`) is only put through the last
    phase; a model of another recipe gives its CNN.
    """
    started = initial.recipe_of(config) == RECIPE.name
    cnn, lstms = (0 if started else int(config.steps * share) for share in (config.cnn_share, config.lstm_share))
    if cnn:
        yield Phase("cnn", cnn, build=functools.partial(ecg.build, EcgPretraining))
    if lstms:
        yield Phase("lstms", lstms, {"seed": config.seed + 1}, inherit=_of_cnn, frozen=lambda model: [model.cnn])
    options = {"seed": config.seed + 2, "learning_rate": config.learning_rate * config.joint_rate}
    yield Phase("all", config.steps - cnn - lstms, options, **{} if lstms else {"inherit": _of_cnn})


def _of_cnn(model: EcgCrnn, before: EcgPretraining) -> None:
    """What the first phase hands on."""
    model.cnn.set_weights(before.cnn.get_weights())


RECIPE = Recipe(
    name="ecg_crnn",
    summary="CNN and bidirectional LSTMs on log spectrograms of electrocardiograms (arXiv:1710.06122)",
    data="recordings",
    presets={
        "small": ecg.SMALL | {"blocks": 4, "layers": 2},
        # 500, 100 and 200 epochs.
        "paper": ecg.PAPER | {"blocks": 4, "layers": 6, "lstm_units": 100, "lstm_layers": 3, "steps": 227_200,
                              "cnn_share": 0.625, "lstm_share": 0.125, "joint_rate": 1.0},
    },
    phases=phases,
    **shared(EcgCrnn),
)  # fmt: skip
