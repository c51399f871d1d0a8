"""Soft-to-hard assignment, over activations and over weights alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.layers.vector_quantizer import VectorQuantizer, assigned, kmeans

RNG = np.random.default_rng(7)
# Activations of a bottleneck, vectors of four; a kernel, scalars.
CASES = {
    "activations": (RNG.normal(0, 3, (2, 5, 6, 8)).astype("float32"), 4, 2),
    "weights": (RNG.laplace(0, 0.05, (3, 3, 4, 16)).astype("float32"), 1, 1),
}


@pytest.fixture(params=CASES)
def case(request):
    values, dimension, groups = CASES[request.param]
    layer = VectorQuantizer(12, dimension, groups=groups, momentum=0.0)
    layer.start(values, seed=1)
    return layer, values


def as_mode(layer, mode):
    other = VectorQuantizer.from_config(layer.get_config() | {"mode": mode})
    other.set_weights(layer.get_weights())
    return other


def test_symbols_are_the_nearest_centres(case):
    layer, values = case
    vectors, centres = values.reshape(-1, layer.dimension), np.array(layer.centres)
    nearest = np.square(vectors[:, None] - centres).sum(-1).argmin(1)
    symbols = np.array(layer.symbols(values))
    assert symbols.dtype == np.int32 and symbols.shape == (*values.shape[:-1], values.shape[-1] // layer.dimension)
    assert np.array_equal(symbols.ravel(), nearest)
    assert np.array_equal(layer.values(symbols), centres[nearest].reshape(values.shape))
    assert np.array_equal(layer(values, training=False), layer.values(symbols))
    assert np.array_equal(layer.assign(values, True).symbols, symbols)


def test_soft_values_become_hard_ones(case):
    layer, values = case
    hard, last = np.array(layer(values)), np.inf
    for sigma in (0.1, 1.0, 10.0, 1e6):
        layer.sigma.assign(sigma / np.var(values))
        soft = np.array(layer(values, training=True))
        gap = np.abs(soft - hard).mean()
        assert np.isfinite(soft).all() and gap < last
        last = gap
    assert last < 1e-3 * np.abs(values).mean()


def test_soft_shares_are_a_softmax_of_squared_distances(case):
    layer, values = case
    vectors, centres = values.reshape(-1, layer.dimension).astype("float64"), np.array(layer.centres, "float64")
    exponent = -float(layer.sigma) * np.square(vectors[:, None] - centres).sum(-1)
    phi = np.exp(exponent - exponent.max(1, keepdims=True))
    phi /= phi.sum(1, keepdims=True)
    found = layer.assign(values, True)
    assert np.allclose(found.value, (phi @ centres).reshape(values.shape), atol=1e-4 * np.abs(values).max())
    q = phi.reshape(-1, layer.groups, layer.count).mean(0)
    rows = np.array(found.symbols).reshape(-1, layer.groups)
    p = np.stack([np.bincount(column, minlength=layer.count) for column in rows.T]) / len(rows)
    p = np.maximum(p, 1e-9)
    assert np.allclose(layer.usage, p, atol=1e-6)
    assert np.isclose(found.soft_bits, -(q * np.log2(p / p.sum(1, keepdims=True))).sum(1).mean(), rtol=1e-3)
    entropy = -(p * np.log2(p)).sum(1).mean()
    assert np.isclose(found.hard_bits, entropy, rtol=1e-3)


@pytest.mark.parametrize("mode", ["anneal", "ste", "hard"])
def test_each_mode_has_its_value_and_gradients(case, mode):
    layer, values = case
    layer = as_mode(layer, mode)
    x, weights = tf.constant(values), np.linspace(-1, 1, values.size, dtype="float32").reshape(values.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = layer(x, training=True)
        loss = tf.reduce_sum(value * weights)
    gradients = tape.gradient(loss, [x, layer.centres.value], unconnected_gradients="zero")
    to_values, to_centres = (tf.convert_to_tensor(g).numpy() for g in gradients)  # those of a gather are sparse
    is_hard = np.allclose(value, layer.values(layer.symbols(values)), atol=1e-6)
    assert is_hard == (mode != "anneal")
    assert np.any(to_values) == (mode != "hard") and np.any(to_centres)
    if mode == "hard":  # the sum of the gradients of what each centre was given
        sums = np.zeros(layer.centres.shape)
        np.add.at(sums, np.array(layer.symbols(values)).ravel(), weights.reshape(-1, layer.dimension))
        assert np.allclose(to_centres, sums, atol=1e-3)
    else:  # straight-through has the gradient of the soft value
        soft = as_mode(layer, "anneal")
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(soft(x, training=True) * weights)
        assert np.allclose(to_values, tape.gradient(loss, x), atol=1e-4 * np.abs(to_values).max())


def test_the_entropy_term_lowers_the_entropy(case):
    layer, values = case
    kept = keras.Variable(values)
    optimizer = keras.optimizers.Adam(np.std(values) / 30)

    def entropy():
        counts = (
            np.bincount(np.array(layer.symbols(kept)).ravel(), minlength=layer.count) * layer.dimension / values.size
        )
        return -(counts[counts > 0] * np.log2(counts[counts > 0])).sum()

    before = entropy()
    for _ in range(60):
        with tf.GradientTape() as tape:
            bits = layer.assign(kept, True).soft_bits
        optimizer.apply([tape.gradient(bits, kept.value)], [kept])
    assert entropy() < 0.8 * before


def test_centres_of_a_fixed_codebook_do_not_learn():
    layer = VectorQuantizer(6, mode="ste", learned=False)
    assert not layer.trainable_variables
    assert np.allclose(np.array(layer.centres)[:, 0], [-2.0, -1.2, -0.4, 0.4, 1.2, 2.0])
    assert np.allclose(layer(np.array([[-9.0, 0.1, 1.7]], "float32")), [[-2.0, 0.4, 2.0]])


def test_it_computes_in_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = VectorQuantizer(5, sigma=1e6)
        value = layer(ops.cast(np.array([[0.3, 1.1, 500.0]]), "float16"), training=True)
    finally:
        keras.config.set_dtype_policy(before)
    assert value.dtype == "float32" and np.array_equal(value, [[0.0, 1.0, 2.0]])


def test_chunks_give_what_one_piece_gives(monkeypatch):
    layer = VectorQuantizer(9, 2, reach=3.0)
    values = RNG.normal(0, 2, (7, 11, 4)).astype("float32")
    whole = np.array(layer.symbols(values))
    monkeypatch.setattr("models.layers.vector_quantizer._CHUNK", 50)
    assert np.array_equal(layer.symbols(values), whole)
    graph = tf.function(layer.symbols, [tf.TensorSpec([None, None, 4], tf.float32)], autograph=False)
    assert np.array_equal(graph(values), whole) and np.array_equal(graph(values[:3, :2]), whole[:3, :2])


def test_dead_centres_are_put_at_samples_and_the_others_stay():
    layer = VectorQuantizer(4, 2)
    layer.centres.assign([[0, 0], [1, 1], [50, 50], [60, 60]])
    layer.usage.assign([[0.5, 0.5, 0.0, 0.0]])
    samples = RNG.normal(0, 1, (100, 2)).astype("float32")
    assert layer.reseed(samples, 3) == 2
    centres = np.array(layer.centres)
    assert np.array_equal(centres[:2], [[0, 0], [1, 1]])
    assert all((samples == centre).all(1).any() for centre in centres[2:])
    assert np.isclose(np.array(layer.usage).sum(), 1.0) and layer.reseed(samples, 3) == 0


def test_it_is_saved_with_its_schedule(tmp_path):
    layer = VectorQuantizer(8, 2, groups=3, sigma=5.0)
    layer.sigma.assign(77.0)
    layer.annealed.assign([12.0, 0.5])
    inputs = keras.Input((6,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    values = RNG.normal(0, 1, (4, 6)).astype("float32")
    assert float(loaded.sigma) == 77.0 and list(np.array(loaded.annealed)) == [12.0, 0.5]
    assert np.array_equal(loaded(values), layer(values))


@pytest.mark.parametrize("dimension", [1, 3])
def test_kmeans_finds_clusters_and_gets_better(dimension):
    places = RNG.normal(0, 10, (6, dimension))
    samples = (places[RNG.integers(0, 6, 3000)] + RNG.normal(0, 0.1, (3000, dimension))).astype("float32")
    centres = kmeans(samples, 6, seed=2)
    assert centres.dtype == np.float32 and centres.shape == (6, dimension)
    error = np.square(samples - centres[assigned(samples, centres)]).sum(1).mean()
    assert error < 0.03 * dimension
    assert np.array_equal(centres, kmeans(samples, 6, seed=2))


def test_kmeans_of_fewer_values_than_centres_has_them_all():
    samples = np.repeat(np.array([[1.0], [2.0], [5.0]], "float32"), 4, axis=0)
    centres = kmeans(samples, 8)
    assert np.allclose(centres[assigned(samples, centres)], samples)
    with pytest.raises(ValueError, match="finite"):
        kmeans(np.array([[np.nan]]), 2)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="mode=soft"):
        VectorQuantizer(4, mode="soft")
    with pytest.raises(ValueError, match="centres=1"):
        VectorQuantizer(1)
