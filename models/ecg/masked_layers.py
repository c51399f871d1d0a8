"""Layers over time in which padding has no effect: convolution, batch normalisation, LSTM, mean.

Maps are [B, T, F, C]; of the T frames of each example the first `frames`, int32 [B], count, and the others are zero.
How far an example is padded changes nothing: neither its own numbers nor those of the others in its batch.
"""

import keras
from keras import ops

from models.training import replicas


def counts(frames, size, dtype="bool"):
    """Which frames count: int32 [B] -> [B, size]."""
    return ops.cast(ops.arange(size, dtype="int32")[None] < frames[:, None], dtype)


def masked(x, frames):
    """x [B, T, F, C] with the frames that do not count set to zero."""
    return x * counts(frames, ops.shape(x)[1], x.dtype)[:, :, None, None]


def halved(frames):
    """Frames that count after a stride of 2: n -> ceil(n / 2), int32 [B]."""
    return (frames + 1) // 2


@keras.saving.register_keras_serializable("kompakt")
class MaskedBatchNormalization(keras.layers.Layer):
    """Batch normalisation whose statistics are of the frames that count, in float32 whatever the policy.

    They are of the whole batch, however many replicas share it.

    As in Keras, a layer that is not trainable uses its moving statistics in training too, and leaves them alone.

    Args:
      momentum: of the moving statistics; they follow within tens of steps, so that short trainings can be judged.
      epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, x_shape, frames_shape=None):
        self.gamma, self.beta = (
            self.add_weight(name=name, shape=(x_shape[-1],), initializer=start, dtype="float32", autocast=False)
            for name, start in (("gamma", "ones"), ("beta", "zeros"))
        )
        self.moving_mean, self.moving_variance = (
            self.add_weight(name=name, shape=(x_shape[-1],), initializer=start, dtype="float32", autocast=False,
                            trainable=False, aggregation="mean")
            for name, start in (("moving_mean", "zeros"), ("moving_variance", "ones"))
        )  # fmt: skip

    def call(self, x, frames, training=False):
        """Maps [B, T, F, C] and frames [B] -> maps. Frames that do not count may hold anything, before and after."""
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.trainable:
            mean, variance = self.moments(x, frames)
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1.0 - self.momentum) * ops.stop_gradient(value))
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        shift = self.beta - mean * scale
        return x * ops.cast(scale, x.dtype) + ops.cast(shift, x.dtype)

    def moments(self, x, frames):
        """Mean and variance of each channel over the frames that count, float32 [C] each."""
        x = ops.cast(x, "float32")
        _, time, bins, channels = ops.shape(x)
        mask = ops.reshape(counts(frames, time, "float32"), (1, -1))
        total = ops.maximum(replicas.total(ops.sum(mask)), 1.0) * bins

        def mean(values):  # a product with the mask reads the maps once; masking them would write them as well
            summed = ops.matmul(mask, ops.reshape(values, (-1, bins * channels)))
            return replicas.total(ops.sum(ops.reshape(summed, (bins, channels)), axis=0)) / total

        first = mean(x)
        return first, ops.maximum(mean(ops.square(x)) - ops.square(first), 0.0)

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("kompakt")
class MaskedConvUnit(keras.layers.Layer):
    """Convolution, batch normalisation, ReLU, dropout: [B, T, F, C] -> [B, ceil(T/stride), ceil(F/stride), filters].

    The convolution pads half a kernel on both sides, so that what a stride keeps does not depend on T ("same" shifts by
    one with the parity). A unit that is not trainable drops nothing.
    """

    def __init__(self, filters: int, kernel: int = 3, strides: int = 1, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel, self.strides, self.rate = filters, kernel, strides, dropout
        self.side = kernel // 2 if strides > 1 else 0  # without a stride "same" is the same on both sides, and faster
        self.conv = keras.layers.Conv2D(
            filters, kernel, strides, padding="same" if strides == 1 else "valid", use_bias=False,
            kernel_initializer="he_normal", data_format="channels_last", dtype=self.dtype_policy,
        )  # fmt: skip
        self.norm = MaskedBatchNormalization(dtype=self.dtype_policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, x_shape, frames_shape=None):
        self.conv.build((x_shape[0], None, x_shape[2] + 2 * self.side, x_shape[3]))
        self.norm.build((*x_shape[:-1], self.filters))
        self.dropout.build(x_shape)

    def call(self, x, frames, training=False):
        """x: maps that are zero in the frames that do not count. frames: int32 [B], how many count in the result.

        Returns: maps, zero in the frames that do not count.
        """
        if self.side:
            x = ops.pad(x, ((0, 0), (self.side, self.side), (self.side, self.side), (0, 0)))
        x = ops.relu(self.norm(self.conv(x), frames, training=training))
        return masked(self.dropout(x, training=bool(training and self.trainable)), frames)

    def get_config(self):
        own = {"filters": self.filters, "kernel": self.kernel, "strides": self.strides, "dropout": self.rate}
        return super().get_config() | own


@keras.saving.register_keras_serializable("kompakt")
class MaskedMean(keras.layers.Layer):
    """Mean over the frames that count, float32 whatever the policy: [B, T, D] -> [B, D]; 0 where none counts."""

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.supports_masking = True  # that of an LSTM says the same as the frames

    def call(self, x, frames):
        """x: [B, T, D] float. frames: int32 [B]."""
        mask = counts(frames, ops.shape(x)[1], "float32")
        summed = ops.sum(ops.where(mask[:, :, None] > 0, ops.cast(x, "float32"), 0.0), axis=1)
        return summed / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)


@keras.saving.register_keras_serializable("kompakt")
class PortableLSTM(keras.layers.LSTM):
    """LSTM that uses cuDNN in training alone.

    cuDNN's op has no kernel for a CPU, so a graph that was traced with it on a GPU could be served on GPUs only.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        self.use_cudnn = "auto" if training else False
        return super().inner_loop(sequences, initial_state, mask=mask, training=training)


@keras.saving.register_keras_serializable("kompakt")
class MaskedBidirectionalLSTM(keras.layers.Layer):
    """One LSTM forwards and one backwards from the last frame that counts: [B, T, D] -> [B, T, 2 * units].

    No dropout between the steps, tanh and sigmoid, padding on the right: what cuDNN can do.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.supports_masking = units, True
        lstm = PortableLSTM(units, return_sequences=True, dtype=self.dtype_policy)
        self.both = keras.layers.Bidirectional(lstm, dtype=self.dtype_policy)

    def build(self, x_shape, frames_shape=None):
        self.both.build(x_shape)

    def call(self, x, frames, training=False):
        """x: [B, T, D] float. frames: int32 [B]. What the result holds in other frames is of no meaning."""
        return self.both(x, mask=counts(frames, ops.shape(x)[1]), training=training)

    def get_config(self):
        return super().get_config() | {"units": self.units}
