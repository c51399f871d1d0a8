"""Residual convolutions over the samples of an electrocardiogram, averaged over time (after arXiv:1707.01836).

    samples --less their mean, over their deviation--> convolution --residual units, half of the steps each--> mean

Activations come before the convolutions of a unit (arXiv:1603.05027). Padding never counts.
"""

import dataclasses

import keras
from keras import ops

from models.contract.recipe import Recipe, Search, option
from models.ecg import ecg
from models.ecg.masked_layers import MaskedBatchNormalization, counts, halved, masked
from models.ecg.recipe import shared

_LEAST_DEVIATION = 1e-3  # millivolts, so that a flat line is a number


@dataclasses.dataclass(frozen=True)
class EcgResnetConfig(ecg.EcgConfig):
    """Options of the residual network."""

    stem: int = option(4, "samples from one step to the next behind the first convolution", choices=(2, 4))
    blocks: int = option(5, "blocks, each of which halves time", search=Search(choices=(4, 5, 6)), low=1, high=8)
    layers: int = option(1, "residual units of a block, of two convolutions each", search=Search(choices=(1, 2)), low=1)
    kernel: int = option(15, "length of the kernels", search=Search(choices=(7, 15)), low=1)
    flip: bool = option(True, "whether half of the training signals are turned upside down")


@keras.saving.register_keras_serializable("kompakt")
class ZScore(keras.layers.Layer):
    """Signals less their mean, over their standard deviation, of the samples that count; float32 always."""

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32"} | kwargs))

    def call(self, samples, length):
        """[B, T] and int32 [B] -> [B, T, 1, 1], zero beyond the lengths."""
        mask = counts(length, ops.shape(samples)[1], "float32")
        total = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
        x = ops.where(mask > 0, ops.cast(samples, "float32"), 0.0)
        x = (x - ops.sum(x, axis=1, keepdims=True) / total) * mask
        deviation = ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True) / total)
        return (x / ops.maximum(deviation, _LEAST_DEVIATION))[:, :, None, None]


@keras.saving.register_keras_serializable("kompakt")
class TimeConvolution(keras.layers.Layer):
    """Convolution over time: [B, T, 1, C] -> [B, ceil(T / strides), 1, filters].

    Half a kernel of zeros on both sides, so that what a stride keeps does not depend on T.
    """

    def __init__(self, filters: int, kernel: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel, self.strides = filters, kernel, strides
        self.conv = keras.layers.Conv2D(
            filters, (kernel, 1), (strides, 1), use_bias=False, kernel_initializer="he_normal",
            data_format="channels_last", dtype=self.dtype_policy,
        )  # fmt: skip

    def build(self, x_shape):
        self.conv.build((x_shape[0], None, 1, x_shape[3]))

    def call(self, x):
        return self.conv(ops.pad(x, ((0, 0), (self.kernel // 2, self.kernel // 2), (0, 0), (0, 0))))

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "kernel": self.kernel, "strides": self.strides}


@keras.saving.register_keras_serializable("kompakt")
class NormalizedReLU(MaskedBatchNormalization):
    """Normalisation and ReLU of maps that may hold anything behind what counts; their result is zero there."""

    def call(self, x, frames, training=False):
        return masked(ops.relu(super().call(x, frames, training=training)), frames)


@keras.saving.register_keras_serializable("kompakt")
class ResidualUnit(keras.layers.Layer):
    """x + two convolutions, each behind normalisation and ReLU: [B, T, 1, C] -> [B, ceil(T / strides), 1, filters].

    Where there are other channels, or fewer steps, x goes through a convolution of length 1 instead.
    """

    def __init__(self, filters: int, kernel: int, strides: int = 1, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel, self.strides, self.rate = filters, kernel, strides, dropout
        own = {"dtype": self.dtype_policy}
        self.norms = [NormalizedReLU(**own) for _ in range(2)]
        self.convs = [TimeConvolution(filters, kernel, strides, **own), TimeConvolution(filters, kernel, **own)]
        self.dropout = keras.layers.Dropout(dropout, **own)
        self.shortcut = None

    def build(self, x_shape, before_shape=None, after_shape=None):
        if x_shape[-1] != self.filters or self.strides > 1:
            self.shortcut = TimeConvolution(self.filters, 1, self.strides, dtype=self.dtype_policy)
            self.shortcut.build(x_shape)
        inner = (*x_shape[:-1], self.filters)
        for layer, shape in zip((*self.norms, *self.convs), (x_shape, inner) * 2, strict=True):
            layer.build(shape)
        self.dropout.build(inner)

    def call(self, x, before, after, training=False):
        """x: maps. before, after: int32 [B], steps that count in them and in the result, which is zero elsewhere."""
        y = self.convs[0](self.norms[0](x, before, training=training))
        y = self.convs[1](self.dropout(self.norms[1](y, after, training=training), training=training))
        return masked(y + (x if self.shortcut is None else self.shortcut(x)), after)

    def get_config(self):
        own = {"filters": self.filters, "kernel": self.kernel, "strides": self.strides, "dropout": self.rate}
        return super().get_config() | own


def residual(config: EcgResnetConfig) -> keras.Model:
    """The network from {"samples", "length"} to the features of each step [B, N, D] and how many steps count [B]."""
    given = ecg.placeholders()
    steps = halved(given["length"]) if config.stem == 2 else halved(halved(given["length"]))
    x = ZScore(name="z_score")(given["samples"], given["length"])
    x = TimeConvolution(config.channels, config.kernel, config.stem)(x)
    for block in range(config.blocks):
        width = config.channels + block * config.growth
        for unit in range(config.layers):
            after = steps if unit else halved(steps)
            x = ResidualUnit(width, config.kernel, 1 if unit else 2, config.dropout)(x, steps, after)
            steps = after
    x = NormalizedReLU(name="last")(x, steps)
    return keras.Model(given, (keras.layers.Reshape((-1, x.shape[3]))(x), steps), name="cnn")


@keras.saving.register_keras_serializable("kompakt")
class EcgResnet(ecg.Ecg):
    """The features of the steps that count, averaged, and one dense layer."""

    config_class = EcgResnetConfig
    features = staticmethod(residual)

    def logits(self, features, frames, config):
        return ecg.mean_logits(features, frames, config.classes)


RECIPE = Recipe(
    name="ecg_resnet",
    summary="residual convolutions on the samples of electrocardiograms (after arXiv:1707.01836)",
    data="recordings",
    presets={
        "small": ecg.SMALL | {"blocks": 5, "layers": 1, "kernel": 15},
        "paper": ecg.PAPER | {"stem": 2, "blocks": 8, "layers": 2, "steps": 142_000},
    },
    **shared(EcgResnet),
)
