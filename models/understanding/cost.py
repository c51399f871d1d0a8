"""What it takes from a stream to an answer: multiply-adds counted in graphs, and time measured."""

import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf


def multiply_adds(function: Callable, *specs: tf.TensorSpec) -> int:
    """Multiplications with an addition of convolutions, transposed ones and matrix products, of one call.

    They are counted in the graph of a function of fully known sizes, so layers of any make count; all else
    (normalisation, activations, resizing) is left out, as usual.

    Raises:
      ValueError: the size of one of them is not known.
    """
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    return _of_graph(graph)


def _of_graph(graph) -> int:
    called = {name for op in graph.get_operations() for name in _functions(op)}
    inner = sum(_of_graph(graph._get_function(name).graph) for name in called)
    return inner + sum(_of_operation(op) for op in graph.get_operations())


def _functions(op) -> list[str]:
    return [op.get_attr("f").name] if op.type in ("PartitionedCall", "StatefulPartitionedCall") else []


def _of_operation(op) -> int:
    if op.type in ("Conv2D", "DepthwiseConv2dNative"):
        return math.prod(_known(op, op.inputs[1])) * math.prod(_plane(op, op.outputs[0]))
    if op.type == "Conv2DBackpropInput":
        return math.prod(_known(op, op.inputs[1])) * math.prod(_plane(op, op.inputs[2]))
    if op.type == "MatMul":
        inner = _known(op, op.inputs[0])[0 if op.get_attr("transpose_a") else 1]
        return inner * math.prod(_known(op, op.outputs[0]))
    if op.type in ("BatchMatMul", "BatchMatMulV2"):
        inner = _known(op, op.inputs[0])[-2 if op.get_attr("adj_x") else -1]
        return inner * math.prod(_known(op, op.outputs[0]))
    return 0


def _known(op, tensor) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"{op.name}: its size is not known, {tensor.shape}")
    return tensor.shape.as_list()


def _plane(op, tensor) -> list[int]:
    """Batch, rows and columns of maps [B, h, w, C]."""
    shape = _known(op, tensor)
    return shape[:3] if op.get_attr("data_format") == b"NHWC" else [shape[0], *shape[2:]]


def milliseconds(function: Callable, inputs: list, most_s: float = 5.0) -> float:
    """Median time of calls, one input each, after every one was called once; no more calls than `most_s` allow."""
    for given in inputs:
        function(given)
    times, begin = [], time.perf_counter()
    for given in inputs * 3:
        start = time.perf_counter()
        np.asarray(function(given))
        times.append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() - begin > most_s:
            break
    return float(np.median(times))
