"""A picture's own part of the network's weights: found by the encoder, written before the pixels.

Pictures differ more than one small network knows. A few thousand of its weights are trained further on the picture
itself, in floats, by the same loss; what is written are integers, which both sides add to the weights.
"""

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import DAMAGED
from models.entropy.lanes import bit_and, const, shift_right
from models.lossless import causal_exact, causal_network
from models.lossless.causal_exact import OWN_BITS

STEPS = 4  # of training, a pass
_RATE = 3e-3  # of Adam, at first
_CROPS, _SIDE = 8, 32
_MOST = 1 << 8  # of the integers
_PAYLOAD = 3  # bits a nibble
_COLOUR, _OWN = 1, 2  # of the first number


def search(network, pixels: tf.Tensor, passes: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Trains on random crops of a picture.

    Args:
      network: `CausalNetwork`. pixels: uint8 [H, W, 3]. passes: int32 scalar. table: `causal_features.logarithms()`.

    Returns:
      int64 [own_size], at most _MOST in magnitude.
    """
    steps = STEPS * passes
    weights = [
        (tf.convert_to_tensor(la.kernel), tf.convert_to_tensor(la.bias)) for la in causal_exact.layers_of(network)
    ]
    own = tf.zeros([causal_exact.own_size(network)])

    def body(step, own, first, second):
        crops = tf.cast(_crops(pixels, step), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(own)
            changed = causal_exact.changed(network, weights, own, (1.0, 1.0))
            bits = causal_network.picture_bits(crops, lambda *known: _outputs(changed, *known), table)
            loss = tf.reduce_mean(bits) / 3.0
        slope = tape.gradient(loss, own)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * tf.square(slope)
        done = tf.cast(step + 1, tf.float32)
        rate = _RATE * 0.5 * (1.0 + tf.cos(3.14159265 * (done - 1.0) / tf.cast(steps, tf.float32)))
        own -= rate * (first / (1.0 - 0.9**done)) / (tf.sqrt(second / (1.0 - 0.99**done)) + 1e-6)
        return step + 1, own, first, second

    loop = 0, own, own, own
    own = tf.while_loop(lambda step, *_: step < steps, body, loop, parallel_iterations=1)[1]
    own = tf.where(tf.math.is_finite(own), own, tf.zeros_like(own))
    return tf.cast(tf.clip_by_value(tf.round(own * 2.0**OWN_BITS), -_MOST, _MOST), tf.int64)


def _crops(pixels: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """uint8 [_CROPS, h, w, 3], drawn by the number of the step."""
    shape = tf.shape(pixels)[:2]
    sides = tf.minimum(shape, _SIDE)
    draws = tf.random.stateless_uniform([_CROPS, 2], tf.stack([step, 7]))
    begins = tf.cast(draws * tf.cast(shape - sides + 1, tf.float32), tf.int32)
    begins = tf.minimum(begins, shape - sides)
    rows, columns = (begins[:, axis, None] + tf.range(sides[axis])[None] for axis in range(2))
    places = rows[:, :, None] * shape[1] + columns[:, None, :]
    return tf.gather(tf.reshape(pixels, [-1, 3]), places)


def _outputs(weights, features: tf.Tensor, beside: list) -> list[tf.Tensor]:
    """As `CausalNetwork.call`, with given weights, float32."""

    def hidden(layer, values):
        return tf.nn.leaky_relu(tf.matmul(values, layer[0]) + layer[1], causal_network.SLOPE)

    trunk = hidden(weights[1], hidden(weights[0], features))
    shift, found = tf.matmul(features, weights[2][0]) + weights[2][1], []
    for plane, more in enumerate(beside):
        values = [hidden(weights[3 + plane], tf.concat([trunk, more], 1)), more, shift[:, plane : plane + 1]]
        found.append(tf.matmul(tf.concat(values, 1), weights[6 + plane][0]) + weights[6 + plane][1])
    return found


def write(colour: tf.Tensor, own: tf.Tensor | None = None) -> tf.Tensor:
    """What stands before the pixels, string scalar.

    Args:
      colour: bool scalar, whether the channels differ. own: of `search`, or None.
    """
    first = tf.cast(colour, tf.int64) * _COLOUR + (0 if own is None else _OWN)
    parts = [bit_fields.write_varints(first[None])]
    if own is not None:
        unsigned = tf.where(own < 0, -2 * own - 1, 2 * own)
        parts.append(bit_fields.pack_nibbles(bit_fields.write_varints(unsigned, _PAYLOAD)))
    return bit_fields.bytes_to_string(parts)


def read(head: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What `write` wrote: (colour, own int64 [size], zeros if there is none).

    Raises:
      tf.errors.InvalidArgumentError: it wrote something else.
    """
    data = bit_fields.string_to_bytes(tf.ensure_shape(head, []))
    first, end, good = bit_fields.read_varints(data, const(0), const(1))
    first = tf.reshape(first, [])
    with tf.control_dependencies([require(good & (first < 4), DAMAGED + "what its weights are")]):
        first = tf.identity(first)

    def from_nibbles():
        nibbles = bit_fields.unpack_nibbles(data[end:])
        unsigned, used, good = bit_fields.read_varints(nibbles, const(0), const(size), _PAYLOAD)
        half = shift_right(unsigned + 1, const(1))
        own = tf.where(tf.equal(bit_and(unsigned, 1), 1), -half, half)
        whole = good & tf.equal((used + 1) // 2, tf.size(data, tf.int64) - end)
        return own, whole & tf.reduce_all(tf.abs(own) <= _MOST)

    def none():
        return tf.zeros([size], tf.int64), tf.equal(end, tf.size(data, tf.int64))

    own, good = tf.cond(first >= _OWN, from_nibbles, none)
    with tf.control_dependencies([require(good, DAMAGED + "its part of the weights")]):
        return bit_and(first, _COLOUR) > 0, tf.ensure_shape(tf.identity(own), [size])
