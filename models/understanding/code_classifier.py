"""Classification of pictures from the codes of a learned codec, without drawing them (arXiv:1803.06131).

    stream --entropy decoder--> latents --cResNet--> class        the receiver's way
    stream --entropy decoder--> latents --synthesis--> pixels --ResNet--> class        its RGB twin, `rgb`

The codec stays as it is, and codes are kept with the records before the training. Published on ILSVRC2012, top-5 at
0.0983 bpp: cResNet-51 78.20 %, ResNet-50 on decoded pictures 78.52 % (not re-read in its text).
"""

import dataclasses

import keras
from keras import ops

from models.classifiers import classifier
from models.classifiers.inputs import adapt as adapt_to_data
from models.contract.precision import policy_of
from models.contract.recipe import ConfigError, Evaluation, Metric, Recipe
from models.understanding import codecs, networks, options
from models.understanding.inputs import inputs
from models.understanding.serving import signatures


@dataclasses.dataclass(frozen=True)
class CodeClassifierConfig(options.CodeOptions, classifier.ClassifierConfig):
    """Options of a classifier of codes."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("crop", "flip", "cutout", "mixup", "budget", "int8"):
            if getattr(self, name):
                raise ConfigError(f"{name}={getattr(self, name)}: codes are read as they are kept; leave it out")

    def prepared(self, record):
        from models.understanding.inputs import square

        return square(record, self.image_size)

    def classes_in(self, record):
        from models.records import pictures

        return pictures.parse(record)[pictures.LABEL]

    @property
    def sides(self) -> tuple[int, int]:
        return self.image_size, self.image_size


@keras.saving.register_keras_serializable("kompakt")
class CodeClassifier(options.WithCodec, classifier.Classifier):
    """A classifier with the codec whose codes it reads, which does not learn.

    `call` takes latents [B, h, w, M] float32 as the codec's synthesis would, or with `config.rgb` decoded pixels
    [B, H, W, 3] float32 in [0, 1], of any size, and returns logits [B, K] float32.

    Raises:
      ConfigError: there is no such codec.
    """

    config_class = CodeClassifierConfig

    def __init__(self, config: CodeClassifierConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.codec = codecs.built(config)
        self.codec.trainable = False

    def entry(self, config):
        """Codes of a picture of any size."""
        return keras.Input((None, None, config.depth), name="codes")

    def logits(self, codes, config):
        """Codes -> logits [B, K] float32."""
        return classifier.head(networks.trunk(codes, config), config.classes)


def build(config: CodeClassifierConfig) -> CodeClassifier:
    """Makes the classifier under its dtype policy and runs it once, so that every variable exists.

    Raises:
      ConfigError: the number of classes, the size of the pictures or the codec is not known.
    """
    classifier.check_known(config)
    with policy_of(config):
        model = CodeClassifier(config)
        model(ops.zeros((1, 2, 2, config.depth), "float32"))
    return model


def adapt(config: CodeClassifierConfig, files):
    """Fills in classes and picture size as the training records have them, and what the codec is.

    Raises:
      ConfigError: as of `models.classifiers.inputs.adapt`, or there is no such codec.
    """
    return options.with_codec(adapt_to_data(config, files))


RECIPE = Recipe(
    name="code_classifier",
    shape="codes",
    summary="Classifier of pictures from a codec's latents, without decoding (arXiv:1803.06131)",
    config=CodeClassifierConfig,
    presets={
        "small": classifier.SMALL | {"image_size": 64},
        "paper": classifier.PAPER | {"image_size": 224, "width": 128, "blocks": "4,10,3", "root_blocks": 3,
                                     "crop": 0, "flip": False, "codec": "conditional_probability"},
    },
    build=build,
    inputs=inputs,
    signatures=signatures,
    evaluation=Evaluation(
        metrics=(*classifier.EVALUATION.metrics, Metric("bpp", "bpp", "lower")), comparable=("rgb", "quality")
    ),
    report=("codes", "confusions"),
    adapt=adapt,
    served=lambda model, config: (RECIPE, model, options.whole(config)),
    labelled=True,
    batching=False,
)  # fmt: skip
