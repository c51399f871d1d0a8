"""A small plain convolutional network: three stages of two convolutions, for first runs and small students."""

import functools

import keras

from models.classifiers import classifier, plain
from models.contract.recipe import Recipe


@keras.saving.register_keras_serializable("kompakt")
class SmallCNN(classifier.Classifier):
    """Convolutions of width, 2 width and 4 width channels; the resolution is halved between the stages."""

    def body(self, x, config):
        for stage in range(3):
            for part in range(2):
                strides = 2 if stage and not part else 1
                x = classifier.norm_relu(classifier.conv(x, config.width << stage, 3, strides))
            x = classifier.tap(x, f"stage{stage + 1}")
        return x


RECIPE = Recipe(
    name="small_cnn",
    summary="Plain convolutional classifier of six layers",
    config=classifier.ClassifierConfig,
    presets={"small": classifier.SMALL, "paper": classifier.PAPER | {"width": 64}},
    build=functools.partial(classifier.build, SmallCNN),
    **plain.PARTS,
)
