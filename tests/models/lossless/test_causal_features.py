"""What is known of a pixel: whole numbers, of what was decoded before it alone, and the same in any cut."""

import numpy as np
import tensorflow as tf

from models.lossless import causal_features as features
from tests.models.examples import photograph

TABLE = tf.constant(features.logarithms())


def known_of(pixels, valid=None):
    """Of uint8 [H, W, 3], in NumPy."""
    planes = features.planes_of(tf.cast(pixels[None], tf.float32))
    found = features.known_of(planes, TABLE, valid)
    return features.Known(*(np.array(values)[0] for values in found))


def test_nothing_later_is_known():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (9, 14, 3), np.uint8)
    before = known_of(pixels)
    for row, column in ((0, 0), (4, 6), (3, 13), (8, 2)):
        changed = pixels.copy()
        changed[row, column] ^= 0x55
        later = np.arange(9 * 14).reshape(9, 14) > row * 14 + column
        # Lanes: a row is REACH columns behind the one above it.
        steps = np.arange(14)[None] + features.REACH * np.arange(9)[:, None]
        decoded_after = steps > column + features.REACH * row
        for a, b in zip(before, known_of(changed), strict=True):
            differs = (a != b).any(-1)
            assert not (differs & ~(later & decoded_after)).any()
        assert (before.features != known_of(changed).features).any() or (row, column) == (8, 13)


def test_all_are_whole_numbers_that_floats_hold():
    for pixels in (photograph(40, 50), np.random.default_rng(2).integers(0, 2, (20, 20, 3), np.uint8) * 255):
        known = known_of(pixels)
        for values, bits in zip(known, (12, 0, 0, 0), strict=True):
            scaled = values.astype(np.float64) * 2**bits
            assert np.array_equal(scaled, np.round(scaled)) and abs(scaled).max() < 2**24
        assert known.scale.min() >= 4


def test_a_cut_with_enough_around_it_gives_the_same():
    pixels = photograph(30, 60)
    whole, cut = known_of(pixels), known_of(pixels[:, 12:52])
    for a, b in zip(whole, cut, strict=True):
        assert np.array_equal(a[:, 20:44], b[:, 8:32])


def test_division_agrees_with_whole_numbers():
    rng = np.random.default_rng(3)
    values, by = rng.integers(-4080, 4081, 20000), rng.integers(4, 4600, 20000)
    got = np.array(features.ratios(tf.constant(values, tf.float32), tf.constant(by, tf.float32)))
    assert np.array_equal(got, np.clip(64 * values // by, -1024, 1024))


def test_of_a_gradient_the_prediction_follows_it():
    ramp = np.broadcast_to((3 * np.arange(30) + 10)[:, None, None], (30, 20, 3)).astype(np.uint8)
    known = known_of(ramp)
    off = known.prediction[3:, 3:-3, 0] / 8 - ramp[3:, 3:-3, 1]
    assert abs(off).max() <= 1.5 and (known.prediction[..., 1:] == 0).all()


def test_logarithms_rise_and_are_exact_at_powers_of_two():
    table = features.logarithms()
    assert (np.diff(table) >= 0).all() and [table[1 << n] for n in range(15)] == [64 * n for n in range(15)]
    assert abs(table[1:] / 64 - np.log2(np.arange(1, len(table)))).max() < 0.11
