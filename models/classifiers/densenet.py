"""Densely connected networks with bottlenecks and compression: Huang et al. (arXiv:1608.06993).

DenseNet-BC of depth L and growth k is `--set depth=L --set growth=k`; L=100, k=12 has 4.51 % error on
CIFAR-10 (table 2).
"""

import dataclasses
import functools

import keras

from models.classifiers import classifier, plain
from models.contract.recipe import ConfigError, Recipe, Search, option


@dataclasses.dataclass(frozen=True)
class DenseNetConfig(classifier.PicturesConfig):
    """Options of a densely connected network."""

    depth: int = option(22, "layers, 6 n + 4", search=Search(choices=(10, 22, 40)), low=10)
    growth: int = option(12, "channels that each layer adds (k)", search=Search(choices=(8, 12, 24)), low=4)
    compression: float = option(0.5, "share of the channels kept between the blocks (theta)", low=0.1, high=1.0)

    def __post_init__(self):
        super().__post_init__()
        if self.depth % 6 != 4:
            raise ConfigError(f"depth={self.depth}: must be 6 n + 4 (10, 22, 40, 100, 112)")


def layer(x, growth: int):
    """A bottleneck of 4 k channels and a convolution of k, appended to what was there."""
    y = classifier.conv(classifier.norm_relu(x), 4 * growth, 1)
    return keras.layers.Concatenate()([x, classifier.conv(classifier.norm_relu(y), growth)])


@keras.saving.register_keras_serializable("kompakt")
class DenseNet(classifier.Classifier):
    """Three blocks of (depth - 4) / 6 layers, with transitions that average over 2x2 between."""

    config_class = DenseNetConfig

    def body(self, x, config):
        x = classifier.conv(x, 2 * config.growth)
        for stage in range(3):
            for _ in range((config.depth - 4) // 6):
                x = layer(x, config.growth)
            x = classifier.tap(x, f"stage{stage + 1}")
            x = classifier.norm_relu(x)
            if stage < 2:
                x = classifier.conv(x, int(x.shape[-1] * config.compression), 1)
                x = keras.layers.AveragePooling2D(2)(x)
        return x


RECIPE = Recipe(
    name="densenet",
    summary="Densely connected classifier, DenseNet-BC (arXiv:1608.06993)",
    config=DenseNetConfig,
    presets={"small": classifier.SMALL | {"depth": 10}, "paper": classifier.PAPER | {"depth": 100}},
    build=functools.partial(classifier.build, DenseNet),
    **plain.PARTS,
)
