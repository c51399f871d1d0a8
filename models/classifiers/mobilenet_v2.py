"""MobileNetV2 (Sandler et al., arXiv:1801.04381) for pictures of 32x32, half as wide: the student of RCO's paper.

The first convolution and the fourth stage have other strides than on ImageNet; ReLU in place of ReLU6, as in the
distillation literature (arXiv:1904.09149 as reproduced by RepDistiller).
"""

import dataclasses
import functools

import keras

from models.classifiers import classifier, plain
from models.contract.recipe import Recipe, option

# (expansion, channels at full width, blocks, strides): table 2 of arXiv:1801.04381, strides for 32x32.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@dataclasses.dataclass(frozen=True)
class MobileNetConfig(classifier.PicturesConfig):
    """Options of a MobileNetV2."""

    width_percent: int = option(50, "channels in percent of the published network", low=10, high=200)
    last: int = option(1280, "channels before the average; the width does not scale them", low=16)
    depth: int = option(4, "most blocks that a stage has; 4 is the published network", low=1, high=4)


def block(x, expansion: int, filters: int, strides: int):
    """Inverted residual: expand, filter each channel (3x3), project (linear); a shortcut where shapes agree."""
    y = classifier.norm_relu(classifier.conv(x, expansion * x.shape[-1], 1))
    y = keras.layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False, depthwise_initializer="he_normal")(y)
    y = classifier.norm(classifier.conv(classifier.norm_relu(y), filters, 1))
    return keras.layers.Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


@keras.saving.register_keras_serializable("kompakt")
class MobileNet(classifier.Classifier):
    """Seven stages of inverted residuals, tapped as stage1 to stage7."""

    config_class = MobileNetConfig

    def body(self, x, config):
        def scaled(channels):
            return max(4, channels * config.width_percent // 100)

        x = classifier.norm_relu(classifier.conv(x, scaled(32), 3, 2))
        for stage, (expansion, channels, blocks, strides) in enumerate(STAGES):
            for part in range(min(blocks, config.depth)):
                x = block(x, expansion, scaled(channels), 1 if part else strides)
            x = classifier.tap(x, f"stage{stage + 1}")
        return classifier.norm_relu(classifier.conv(x, config.last, 1))


RECIPE = Recipe(
    name="mobilenet_v2",
    summary="MobileNetV2 classifier at half width for small pictures (arXiv:1801.04381)",
    config=MobileNetConfig,
    presets={"small": classifier.SMALL, "paper": classifier.PAPER | {"learning_rate": 0.01}},
    build=functools.partial(classifier.build, MobileNet),
    **plain.PARTS,
)
