"""Residual networks for pictures of 32x32: He, Zhang, Ren, Sun (arXiv:1512.03385, section 4.2).

Published on CIFAR-10, error: ResNet-20 8.75 %, 32 7.51 %, 56 6.97 %. ResNet-8x4 and 32x4 of the distillation
literature are depths 8 and 32 with 4 times the channels: `--set depth=8 --set widening=4`.
"""

import dataclasses
import functools

import keras

from models.classifiers import classifier, plain
from models.contract.recipe import ConfigError, Recipe, Search, option


@dataclasses.dataclass(frozen=True)
class ResNetConfig(classifier.ClassifierConfig):
    """Options of a residual network."""

    depth: int = option(20, "layers, 6 n + 2", search=Search(choices=(8, 14, 20, 32)), low=8)
    widening: int = option(1, "factor on the channels of the three stages; the first convolution keeps 2 width", low=1)

    def __post_init__(self):
        super().__post_init__()
        if self.depth % 6 != 2:
            raise ConfigError(f"depth={self.depth}: must be 6 n + 2 (8, 14, 20, 32, 44, 56, 110)")


def shortcut(x, filters: int, strides: int):
    """The input of a block in the shape of its output: itself, or a 1x1 convolution with normalisation."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return classifier.norm(classifier.conv(x, filters, 1, strides))


def block(x, filters: int, strides: int):
    """Two convolutions and the shortcut (figure 2)."""
    y = classifier.norm_relu(classifier.conv(x, filters, 3, strides))
    y = classifier.norm(classifier.conv(y, filters))
    return keras.layers.ReLU()(keras.layers.Add()([shortcut(x, filters, strides), y]))


@keras.saving.register_keras_serializable("kompakt")
class ResNet(classifier.Classifier):
    """Three stages of (depth - 2) / 6 blocks with width, 2 width, 4 width channels (times `widening`)."""

    config_class = ResNetConfig

    def body(self, x, config):
        x = classifier.norm_relu(classifier.conv(x, config.width * (2 if config.widening > 1 else 1)))
        for stage in range(3):
            for part in range((config.depth - 2) // 6):
                x = block(x, config.width * config.widening << stage, 2 if stage and not part else 1)
            x = classifier.tap(x, f"stage{stage + 1}")
        return x


RECIPE = Recipe(
    name="resnet",
    summary="Residual classifier for small pictures (arXiv:1512.03385)",
    config=ResNetConfig,
    presets={
        "small": classifier.SMALL,
        "paper": classifier.PAPER,
        "resnet20": classifier.PAPER | {"depth": 20},
        "resnet32": classifier.PAPER | {"depth": 32},
        "resnet56": classifier.PAPER | {"depth": 56},
        "resnet8x4": classifier.PAPER | {"depth": 8, "widening": 4},
        "resnet32x4": classifier.PAPER | {"depth": 32, "widening": 4},
    },
    build=functools.partial(classifier.build, ResNet),
    **plain.PARTS,
)
