"""Symbols of a volume: encoder and decoder have the same integers, no place sees one behind it, what bits come to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving.volume_latents import ROW, SLICE, Volume, VolumeLatents
from models.contract import registry
from models.entropy.densities import softmax_cdf
from tests.models.kinds import KINDS

DEPTH = 7


class Coder:
    """An untrained context network, its integer form, and its functions traced once.

    Its weights are such that it is sure of nothing: what it takes for impossible would cost more than integers say.
    """

    def __init__(self, scale: float = 0.5):
        keras.utils.set_random_seed(5)
        recipe = registry.get("conditional_probability")
        self.model = recipe.build(recipe.make_config("small", KINDS["codec"].tiny | {"latents": DEPTH, "features": 9}))
        for variable in self.model.context.trainable_variables:
            variable.assign(scale * variable + 0.02)
        self.model.quantizer.centres.assign([[0.7], [-1.9], [-0.1], [1.3], [2.2], [-1.1]])  # no order
        self.latents = VolumeLatents(self.model, VolumeLatents.tables_of(self.model))
        values = tf.TensorSpec([1, None, None, DEPTH], tf.float32)
        self.encode = tf.function(lambda y: self.latents.encode(y), [values], autograph=False)
        sides = [tf.TensorSpec([], tf.int32)] * 2
        self.decode = tf.function(
            lambda s, h, w: self.latents.decode([s], h, w), [tf.TensorSpec([], tf.string), *sides], autograph=False
        )
        volume = tf.TensorSpec([DEPTH, None, None], tf.int32)
        self.intervals = tf.function(self.latents.intervals, [volume], autograph=False)

    def logits(self, symbols) -> np.ndarray:
        """Of the float network, of symbols [D, h, w]: [D, h, w, L]."""
        values = self.model.quantizer.values(symbols.transpose(1, 2, 0)[None])
        return np.array(self.model.context(values, self.model.beyond))[0].transpose(2, 0, 1, 3)

    def frequencies(self, symbols) -> np.ndarray:
        """Of every symbol [D, h, w]."""
        return self.intervals(symbols).numpy() >> 32

    def draw(self, height: int, width: int, seed: int = 0) -> np.ndarray:
        """Latents [1, h, w, D] that have all symbols."""
        return np.random.default_rng(seed).normal(0, 1.5, (1, height, width, DEPTH)).astype("float32")


@pytest.fixture(scope="module")
def coder() -> Coder:
    return Coder()


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 3), (4, 17), (21, 12)])
def test_what_is_decoded_is_what_was_coded(coder, height, width):
    y = coder.draw(height, width)
    (section,), y_hat = coder.encode(y)
    centres = np.array(coder.model.quantizer.centres)[:, 0]
    nearest = centres[np.abs(y[..., None] - centres).argmin(-1)]
    np.testing.assert_array_equal(y_hat, nearest)
    np.testing.assert_array_equal(coder.decode(section, height, width), nearest)


@pytest.mark.parametrize("place", [(0, 0, 0), (0, 3, 5), (3, 2, 0), (DEPTH - 1, 4, 6), (2, 4, 6), (1, 0, 6)])
def test_a_symbol_changes_nothing_up_to_its_own_place(coder, place):
    symbols = np.random.default_rng(1).integers(0, 6, (DEPTH, 5, 7)).astype("int32")
    changed = symbols.copy()
    changed[place] = (changed[place] + 3) % 6
    one, other = (coder.latents.intervals(s).numpy() for s in (symbols, changed))
    order = np.arange(symbols.size).reshape(symbols.shape)
    before = order < order[place]
    assert np.array_equal(one[before], other[before])
    # What distribution a place itself has shows in every of its symbols; the sum of all is the whole.
    whole = sum(coder.frequencies(np.where(order == order[place], n, symbols)).ravel()[order[place]] for n in range(6))
    assert whole == 1 << softmax_cdf.PRECISION
    logits = [coder.logits(s) for s in (symbols, changed)]
    assert np.array_equal(logits[0][order <= order[place]], logits[1][order <= order[place]])
    if place != (DEPTH - 1, 4, 6):  # the last of all
        assert not np.array_equal(one[order > order[place]], other[order > order[place]])


def test_a_place_sees_four_slices_and_eight_rows_and_columns_around(coder):
    symbols = np.zeros((DEPTH, 13, 13), "int32")
    changed = symbols.copy()
    changed[1, 6, 6] = 4
    seen = np.argwhere(np.any(coder.logits(symbols) != coder.logits(changed), -1))
    np.testing.assert_array_equal(seen.min(0), [1, 2, 2])
    np.testing.assert_array_equal(seen.max(0), [5, 10, 10])


@pytest.mark.parametrize("scale", [0.2, 0.6])
def test_the_integers_are_the_networks(scale):
    """Bits of the integers against those of floats: within a thousandth."""
    coder = Coder(scale)
    y = coder.draw(12, 14)
    symbols = coder.latents.nearest(tf.constant(y)).numpy().transpose(2, 0, 1)
    bits = (softmax_cdf.PRECISION - np.log2(coder.frequencies(symbols))).sum()
    _, y_hat = coder.encode(y)
    expected = float(coder.latents.estimated_bits(y, y_hat)[0])
    assert abs(bits / expected - 1) < 1e-3 and expected > 1000


def test_real_bits_are_within_a_hundredth_of_the_cross_entropy(coder):
    y = coder.draw(32, 48)
    (section,), y_hat = coder.encode(y)
    expected = float(coder.latents.estimated_bits(y, y_hat)[0])
    assert 0 < 8 * len(section.numpy()) - expected < 0.01 * expected


def test_pieces_of_the_estimate_do_not_show(coder, monkeypatch):
    y = coder.draw(20, 31)
    _, y_hat = coder.encode(y)
    whole = float(tf.reduce_sum(coder.model.estimated_bits(y_hat)))
    monkeypatch.setattr("models.codecs.serving.volume_latents._TILE", 6)
    assert np.isclose(float(coder.latents.estimated_bits(y, y_hat)[0]), whole, rtol=1e-5)


@pytest.mark.parametrize("depth, height, width", [(1, 1, 1), (3, 1, 4), (2, 5, 1), (4, 3, 8)])
def test_steps_hold_every_place_once_and_none_before_its_neighbours(depth, height, width):
    volume = Volume(depth, tf.constant(height), tf.constant(width))
    steps, numbers, counts = (v.numpy() for v in volume.order())
    assert int(volume.steps) == len(counts) == width + ROW * (height - 1) + SLICE * (depth - 1)
    found = set()
    for step in range(len(counts)):
        lanes = volume.places(tf.constant(step), 0).numpy()
        assert len(lanes) == counts[step]
        for number, lane in enumerate(lanes):
            d, r = lane // (height + 8) - 4, lane % (height + 8) - 4
            c = step - ROW * r - SLICE * d
            assert (steps[d, r, c], numbers[d, r, c]) == (step, number)
            found.add((d, r, c))
    assert len(found) == depth * height * width == counts.sum()


def test_what_is_no_stream_of_that_size_is_refused(coder):
    (section,), _ = coder.encode(coder.draw(8, 9))
    good, rng = section.numpy(), np.random.default_rng(0)
    wrong = [(b"", 8, 9), (good[:-4], 8, 9), (good + b"\0" * 4, 8, 9), (good, 9, 9), (good, 8, 8), (good, 9, 7)]
    wrong += [(good, 4000, 4000), (rng.bytes(len(good)), 8, 9)]
    for stream, height, width in wrong:
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            coder.decode(stream, height, width)


def test_weights_without_exact_sums_are_refused():
    coder = Coder()
    coder.model.context.inner.kernel.assign(1e6 * coder.model.context.inner.kernel)
    with pytest.raises(ValueError, match="inner: its weights are too large for exact sums"):
        VolumeLatents(coder.model, VolumeLatents.tables_of(coder.model))
