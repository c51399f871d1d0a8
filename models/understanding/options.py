"""What everything that learns from codes has in common: options of the codec and the trunk, the codec in the model."""

import dataclasses

from models.classifiers.named import settings_of
from models.contract.recipe import Config, Search, option
from models.understanding import codecs, networks


@dataclasses.dataclass(frozen=True)
class CodeOptions(Config):
    """Options of a network on the codes of a codec, or on its decoded pictures."""

    codec: str = option(
        "edic", "codec whose codes are read: a released one, the path of a pushed one, or a recipe, trained first",
        is_model=True,
    )  # fmt: skip
    codec_settings: str = option("", "options of a codec that is trained first: KEY=VALUE,KEY=VALUE")
    codec_about: str = option("", "recipe and options of the codec, JSON (empty: as they are found)")
    quality: int = option(50, "at which pictures are coded, if the codec's can be chosen", low=0, high=100)
    rgb: bool = option(False, "whether decoded pictures are what is seen, to compare with")
    width: int = option(
        32, "channels of the first stage's 3x3 convolutions", search=Search(choices=(16, 32, 64)), low=2
    )
    blocks: str = option("1,1,1", "bottleneck blocks of each stage; 4,10,3 is cResNet-51")
    root_blocks: int = option(1, "blocks of the stage before them, of a network on pixels", low=0)

    def __post_init__(self):
        super().__post_init__()
        networks.numbers_of("blocks", self.blocks)
        settings_of("codec_settings", self.codec_settings)
        if codecs.is_trained_first(self):
            codecs.recipe_to_train(self)

    def prepared(self, record):
        """The pixels of a serialised record's picture as they are coded for the training, uint8 [*sides, 3]."""
        raise TypeError(f"{type(self).__name__} must say in `prepared` what is coded of a picture")

    def classes_in(self, record):
        """The class of a serialised record's picture, int64 scalar, or of each of its pixels, uint8 [*sides]."""
        raise TypeError(f"{type(self).__name__} must say in `classes_in` what a picture shows")

    def values(self, reader, record):
        """What is kept of a serialised record: {name: array}, see `models.understanding.inputs.values`."""
        from models.understanding.inputs import values

        return values(reader, record, self)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the pictures in training, pixels."""
        raise TypeError(f"{type(self).__name__} must say in `sides` how large pictures are")

    @property
    def depth(self) -> int:
        """Channels of what the network sees."""
        return 3 if self.rgb else codecs.depth_of(codecs.of_about(self.codec_about)[1])


class WithCodec:
    """A Keras model with `codec`, whose tables and fingerprints go with it as if they were its own."""

    @property
    def tables(self):
        """The coder's tables, which go with the codec's weights."""
        return self.codec.tables

    @tables.setter
    def tables(self, tables):
        self.codec.tables = tables

    @property
    def reads(self):
        """Fingerprints of other models whose streams the codec reads."""
        return self.codec.reads

    @reads.setter
    def reads(self, reads):
        self.codec.reads = reads


def with_codec(config: CodeOptions) -> CodeOptions:
    """The configuration with what its codec is made from. Raises ConfigError: there is no such codec."""
    if codecs.is_trained_first(config) or config.codec_about:
        return config
    return dataclasses.replace(config, codec_about=codecs.about(*codecs.described(config.codec)))


def whole(config: CodeOptions) -> CodeOptions:
    """The configuration of a model that holds its codec: that need not be there any more."""
    return dataclasses.replace(config, codec="", codec_settings="")
