"""CNN on the log spectrogram of an electrocardiogram, averaged over time (arXiv:1710.06122)."""

import keras

from models.contract.recipe import Recipe
from models.ecg import ecg
from models.ecg.recipe import shared


@keras.saving.register_keras_serializable("kompakt")
class EcgCnn(ecg.Ecg):
    """The features of the frames that count, averaged, and one dense layer."""

    def logits(self, features, frames, config):
        return ecg.mean_logits(features, frames, config.classes)


RECIPE = Recipe(
    name="ecg_cnn",
    summary="CNN on log spectrograms of electrocardiograms (arXiv:1710.06122)",
    data="recordings",
    presets={
        "small": ecg.SMALL | {"blocks": 6, "layers": 2},
        "paper": ecg.PAPER | {"blocks": 6, "layers": 4, "steps": 142_000},
    },
    **shared(EcgCnn),
)
