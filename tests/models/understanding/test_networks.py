"""The networks are those of the papers: convolutions and multiply-adds, counted in two ways."""

import keras
import pytest
import tensorflow as tf

from models.classifiers import classifier
from models.contract.recipe import ConfigError
from models.layers.cost import multiply_adds
from models.understanding import cost, networks


def test_cresnet_51_is_that_of_the_paper():
    latents = keras.Input((28, 28, 32))
    network = keras.Model(latents, classifier.head(networks.on_latents(latents, 128, [4, 10, 3]), 1000))
    kernels = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(kernels) - 3 == 51  # each stage has a projection
    assert abs(multiply_adds(network) / 1e9 - 3.83) < 0.01
    assert network.get_layer("stage1").output.shape == (None, 28, 28, 512)
    assert network.get_layer("stage3").output.shape == (None, 7, 7, 2048)


def test_resnet_50_is_that_of_the_paper():
    pixels = keras.Input((224, 224, 3))
    network = keras.Model(pixels, classifier.head(networks.on_pixels(pixels, 128, 3, [4, 6, 3]), 1000))
    assert abs(multiply_adds(network) / 1e9 - 3.86) < 0.01


def test_graphs_are_counted_as_layers_are():
    pixels = keras.Input((20, 28, 3))
    maps = networks.on_pixels(pixels, 4, 1, [1, 1, 1])
    network = keras.Model(pixels, classifier.head(maps, 5))
    spec = tf.TensorSpec([1, 20, 28, 3])
    assert cost.multiply_adds(lambda x: network(x, training=False), spec) == multiply_adds(network)
    up = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Conv2DTranspose(2, 5, 2, "same"),
                           keras.layers.DepthwiseConv2D(3, padding="same")])  # fmt: skip
    found = cost.multiply_adds(lambda x: tf.linalg.matmul(up(x)[0, 0], tf.ones([2, 7])), tf.TensorSpec([1, 4, 5, 3]))
    assert found == 5 * 5 * 3 * 2 * 4 * 5 + 3 * 3 * 2 * 8 * 10 + 10 * 2 * 7
    with pytest.raises(ValueError, match="its size is not known"):
        cost.multiply_adds(lambda x: network(x, training=False), tf.TensorSpec([1, None, 28, 3]))


def test_time_is_measured():
    assert 0 < cost.milliseconds(tf.function(lambda x: x + 1), [tf.zeros(3)] * 2) < 1000


def test_blocks_are_read():
    assert networks.numbers_of("blocks", "4, 10,3") == [4, 10, 3]
    for text in ("", "4,0,3", "a,b,c", "1,"):
        with pytest.raises(ConfigError, match="wanted are whole numbers above zero"):
            networks.numbers_of("blocks", text)
