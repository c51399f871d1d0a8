"""Wide residual networks: Zagoruyko, Komodakis (arXiv:1605.07146). WRN-d-k is `--set depth=d --set widening=k`.

Published on CIFAR-100, error: WRN-40-4 22.89 %, WRN-28-10 20.50 % (table 4, without dropout).
"""

import dataclasses
import functools

import keras

from models.classifiers import classifier, plain
from models.contract.recipe import ConfigError, Recipe, Search, option


@dataclasses.dataclass(frozen=True)
class WideResNetConfig(classifier.ClassifierConfig):
    """Options of a wide residual network."""

    depth: int = option(16, "layers, 6 n + 4", search=Search(choices=(10, 16, 22, 28)), low=10)
    widening: int = option(2, "factor on the channels of the three stages (k)", search=Search(choices=(1, 2, 4)), low=1)
    dropout: float = option(0.0, "share of the values dropped between a block's convolutions", low=0.0, high=0.9)

    def __post_init__(self):
        super().__post_init__()
        if self.depth % 6 != 4:
            raise ConfigError(f"depth={self.depth}: must be 6 n + 4 (10, 16, 22, 28, 40)")


def block(x, filters: int, strides: int, dropout: float):
    """Normalisation and ReLU before each of two convolutions, the shortcut beside (figure 1, "wide")."""
    before = classifier.norm_relu(x)
    y = classifier.norm_relu(classifier.conv(before, filters, 3, strides))
    if dropout:
        y = keras.layers.Dropout(dropout)(y)
    y = classifier.conv(y, filters)
    same = strides == 1 and x.shape[-1] == filters
    return keras.layers.Add()([x if same else classifier.conv(before, filters, 1, strides), y])


@keras.saving.register_keras_serializable("kompakt")
class WideResNet(classifier.Classifier):
    """Three stages of (depth - 4) / 6 blocks with k, 2 k, 4 k times `width` channels."""

    config_class = WideResNetConfig

    def body(self, x, config):
        x = classifier.conv(x, config.width)
        for stage in range(3):
            for part in range((config.depth - 4) // 6):
                strides = 2 if stage and not part else 1
                x = block(x, config.width * config.widening << stage, strides, config.dropout)
            x = classifier.tap(x, f"stage{stage + 1}")
        return classifier.norm_relu(x)


RECIPE = Recipe(
    name="wide_resnet",
    summary="Wide residual classifier (arXiv:1605.07146)",
    config=WideResNetConfig,
    presets={"small": classifier.SMALL | {"depth": 10}, "paper": classifier.PAPER | {"depth": 28, "widening": 10}},
    build=functools.partial(classifier.build, WideResNet),
    **plain.PARTS,
)
