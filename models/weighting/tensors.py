"""What a search asks of TensorFlow, as Keras lacks it: gradients, writing in place, graphs, stateless randomness."""

from collections.abc import Callable

import tensorflow as tf


def gradients(losses: Callable, variables) -> tuple:
    """What `losses` returns, (scalar, anything), and the gradients of the scalar to Keras variables."""
    with tf.GradientTape() as tape:
        value, more = losses()
    return value, more, tape.gradient(value, [v.value for v in variables])


def write(variable, place, value) -> None:
    """Writes into a Keras variable [N, M, ...] at a place, so many numbers as it takes to say one."""
    variable.value.scatter_nd_update(
        tf.stack([tf.cast(n, tf.int32) for n in place])[None], tf.cast(value, variable.dtype)[None]
    )


def graph(function: Callable, *specs: tuple) -> Callable:
    """The function as one graph, traced once; (shape, dtype) of each argument."""
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in specs]
    return tf.function(function, input_signature=signature, autograph=False)


def repeat(count, step: Callable, after) -> None:
    """Calls `step` so many times, int32 scalar, within a graph, when `after` is computed."""

    def body(n):
        step()
        return (n + 1,)

    with tf.control_dependencies([after]):
        tf.while_loop(lambda n: n < count, body, (0,))


def normal(size: int, seed):
    """Standard normal numbers [size] that the seed, int32 [2], decides."""
    return tf.random.stateless_normal((size,), seed)


def integers(count: int, end, seed):
    """Whole numbers below `end`, int32 [count], that the seed, int32 [2], decides."""
    return tf.random.stateless_uniform((count,), seed, 0, end, tf.int32)
