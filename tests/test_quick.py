"""What tests set for themselves: memory that nobody holds is given back where a process has much."""

import gc
import weakref

import pytest
import tensorflow as tf

from tests import quick


class Node:
    """Refers to itself, as graphs do."""

    def __init__(self):
        self.own = self


@pytest.mark.parametrize("most, gone", [(1, True), (1 << 50, False)])
def test_only_large_processes_look_for_what_is_free(most, gone, monkeypatch):
    monkeypatch.setattr(quick, "_after", 0)
    gc.disable()
    try:
        lost = weakref.ref(Node())
        quick.collect_if_large(most, more=0)
        assert (lost() is None) == gone
    finally:
        gc.enable()


def test_a_process_that_has_not_grown_does_not_look_again(monkeypatch):
    monkeypatch.setattr(quick, "_after", quick.size())
    gc.disable()
    try:
        kept = weakref.ref(Node())
        quick.collect_if_large(1, more=1 << 40)
        assert kept() is not None
    finally:
        gc.enable()


def test_a_graph_with_a_gradient_of_its_own_is_given_back(monkeypatch):
    @tf.custom_gradient
    def same(x):
        return tf.identity(x), lambda upstream: upstream

    function = tf.function(lambda x: same(2.0 * x))
    graph = weakref.ref(function.get_concrete_function(tf.TensorSpec([], tf.float32)).graph)
    del function
    gc.collect()
    assert graph() is not None  # what TensorFlow does; without it there would be nothing to forget
    monkeypatch.setattr(quick, "_after", 0)
    quick.collect_if_large(1, more=0)
    assert graph() is None
