"""CNN and LSTM on the log spectrogram of an electrocardiogram (arXiv:1710.06122), trained in phases.

The authors run two stacks of LSTMs, one forwards and one backwards, and join them behind the last layer; here each
layer is bidirectional, so that the directions mix at every layer. Their phases 3 and 4 (phase 2 again at lower rates)
are the cosine of phase 2 here.
"""

import dataclasses
import functools

import keras

from models.contract.recipe import ConfigError, Recipe, Search, option
from models.ecg import ecg
from models.ecg.inputs import adapt, inputs
from models.ecg.masked_layers import MaskedBidirectionalLSTM, MaskedMean
from models.ecg.phases import train_in_phases
from models.ecg.serving import signatures


@dataclasses.dataclass(frozen=True)
class EcgCrnnConfig(ecg.EcgConfig):
    """Options of the CNN with LSTMs, and of its phases."""

    blocks: int = option(4, "blocks, each of which halves time and frequency", low=1, high=8)
    lstm_units: int = option(64, "units of an LSTM, each direction", search=Search(choices=(32, 64, 100)), low=1)
    lstm_layers: int = option(2, "bidirectional LSTMs, one upon the other", search=Search(choices=(1, 2, 3)), low=1)
    hidden: int = option(200, "units of the dense layer that stands for the LSTMs in phase 0", low=1)
    cnn_share: float = option(0.5, "share of the steps of phase 0: the CNN alone", low=0.0, high=1.0)
    lstm_share: float = option(0.2, "share of the steps of phase 1: the LSTMs alone", low=0.0, high=1.0)
    joint_rate: float = option(0.3, "peak learning rate of phase 2 (everything), over that of the others", low=0.0)

    def __post_init__(self):
        super().__post_init__()
        if self.cnn_share + self.lstm_share >= 1:
            raise ConfigError(f"cnn_share={self.cnn_share}, lstm_share={self.lstm_share}: nothing is left for phase 2")


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
    """Phase 0: the averaged features through a dense layer instead of LSTMs."""

    config_class = EcgCrnnConfig

    def logits(self, features, frames, config):
        hidden = keras.layers.Dense(config.hidden, activation="relu")(MaskedMean()(features, frames))
        return ecg.dense_logits(hidden, config.classes)


RECIPE = Recipe(
    name="ecg_crnn",
    shape="transformed",
    summary="CNN and bidirectional LSTMs on log spectrograms of electrocardiograms (arXiv:1710.06122)",
    config=EcgCrnnConfig,
    presets={
        "small": ecg.SMALL | {"blocks": 4, "layers": 2},
        # 500, 100 and 200 epochs.
        "paper": ecg.PAPER | {"blocks": 4, "layers": 6, "lstm_units": 100, "lstm_layers": 3, "steps": 227_200,
                              "cnn_share": 0.625, "lstm_share": 0.125, "joint_rate": 1.0},
    },
    build=functools.partial(ecg.build, EcgCrnn),
    inputs=inputs,
    signatures=signatures,
    evaluation=ecg.EVALUATION,
    report=("mistakes",),
    adapt=adapt,
    labelled=True,
    data="recordings",
    train=functools.partial(train_in_phases, functools.partial(ecg.build, EcgPretraining)),
)  # fmt: skip
