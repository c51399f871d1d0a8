"""Mixtures in integers: close to the real ones, strictly monotone, and searched rightly."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.densities import gaussian
from models.entropy.densities.mixture_cdf import (
    FEWEST_BITS,
    LOGISTIC,
    MOST_BITS,
    NORMAL,
    PRECISION,
    MixtureCdf,
    integer_tables,
)
from tests.models.entropy.mixtures import draw, real


@pytest.fixture(scope="module")
def cdf() -> MixtureCdf:
    return MixtureCdf()


@pytest.mark.parametrize("distribution", [NORMAL, LOGISTIC])
def test_given_tables_are_used_as_they_are(distribution):
    tables = integer_tables(distribution)
    tables[distribution.name("exp")][7] += 1
    cdf = MixtureCdf(tables, distribution)
    for table in ("cumulative", "inverse", "reach", "exp", "bits"):
        values = tables[distribution.name(table)]
        assert values.dtype == np.int64 and np.array_equal(getattr(cdf, f"_{table}"), values)


def test_the_names_in_released_weights_are_the_old_ones():
    names = {"mixture.normal", "mixture.inverse", "mixture.reach", "mixture.exp", "mixture.bits"}
    assert set(integer_tables()) == names and not names & set(integer_tables(LOGISTIC))


@pytest.mark.parametrize("damage", [
    lambda t: t.pop("mixture.reach"), lambda t: t.update({"mixture.exp": t["mixture.exp"][1:]}),
    lambda t: t.update({"mixture.bits": t["mixture.bits"] * 1.0}), lambda t: t["mixture.inverse"].put(9, 0),
    lambda t: t["mixture.normal"].put(9000, 0), lambda t: t["mixture.normal"].put(-1, 1 << 25),
])  # fmt: skip
def test_other_tables_are_refused(damage):
    tables = integer_tables()
    damage(tables)
    with pytest.raises(ValueError, match="^the coder's table"):
        MixtureCdf(tables)


def tensors(parameters):
    return [tf.constant(p, tf.int64) for p in parameters]


EXTREMES = {
    "far apart": ([[-(1 << 24)], [1 << 24], [0]], [[0], [252], [100]], [[0], [0], [0]]),
    "narrow": ([[0], [0], [1]], [[0], [0], [0]], [[0], [0], [0]]),
    "wide": ([[40], [-90], [128]], [[252], [252], [252]], [[0], [0], [0]]),
    "beyond the levels": ([[5], [5], [5]], [[-9999], [99999], [40]], [[0], [0], [0]]),
    "one has all the weight": ([[3000], [-3000], [0]], [[60], [60], [60]], [[1 << 24], [-(1 << 24)], [0]]),
    "between two symbols": ([[128], [128], [128]], [[0], [0], [0]], [[0], [0], [0]]),
}


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_close_to_the_real_mixture(cdf, k):
    parameters = draw(400, k)
    found = cdf.mixtures(*tensors(parameters))
    whole = np.array(tf.reduce_sum(found.weights, 0)) * 2.0**24
    for offset in (-3, 0, 1, 4):
        symbols = found.centres + offset
        share = np.array(cdf.cumulative(found, symbols)) / whole
        assert np.abs(share - real(parameters, symbols.numpy() - 0.5)).max() < 1e-3


def second(cdf, found):
    """Smallest symbols, log2 of slots and the function of the second step."""
    low, bits = cdf.alphabets(found)
    fields = cdf.search_fields(found, low, bits)
    return low.numpy(), bits.numpy(), fields, cdf.second_cdf(fields)


@pytest.mark.parametrize("parameters", [draw(60, 3, seed=1), draw(60, 1, seed=2), *EXTREMES.values()])
def test_rises_by_one_at_least_up_to_the_whole(cdf, parameters):
    found = cdf.mixtures(*tensors(parameters))
    low, bits, fields, edges = second(cdf, found)
    centres = found.centres.numpy()
    assert (bits >= 2).all() and (bits <= MOST_BITS).all()
    assert ((low < centres) & (centres < low + (1 << bits) - 1)).all()
    slots = np.arange((1 << bits.max()) + 1)[:, None] * np.ones_like(bits)
    rows = np.stack([edges(tf.constant(row, tf.int64)) for row in slots])
    inside = slots < 1 << bits
    assert (rows[0] == 0).all() and (rows[~inside] == 1 << PRECISION).all()
    assert (np.diff(rows, axis=0)[inside[:-1]] >= 1).all()


@pytest.mark.parametrize("parameters", [draw(50, 3, seed=3), *EXTREMES.values()])
def test_the_search_finds_every_number(cdf, parameters):
    found = cdf.mixtures(*tensors(parameters))
    _, bits, fields, edges = second(cdf, found)
    search = tf.function(functools.partial(cdf.second_slots, turns=int(bits.max())), autograph=False)
    for number in (0, 1, 77, 20_000, (1 << PRECISION) - 2, (1 << PRECISION) - 1):
        states = tf.fill(bits.shape, tf.constant((5 << PRECISION) + number, tf.int64))
        after, slots = search(states, fields)
        starts, ends = edges(slots).numpy(), edges(slots + 1).numpy()
        assert ((starts <= number) & (number < ends)).all() and (slots.numpy() < 1 << bits).all()
        assert np.array_equal(after, (ends - starts) * 5 + number - starts)


def test_a_slot_without_a_symbol_leaves_the_state(cdf):
    fields = tf.constant([[0]] * 12 + [[1], [0]], tf.int64)
    after, slots = cdf.second_slots(tf.constant([123456789], tf.int64), fields, 3)
    assert after.numpy().tolist() == [123456789] and slots.numpy().tolist() == [0]


def test_rows_take_the_turns_of_their_largest_alphabet(cdf):
    look_ups = cdf.searches()
    largest = [[2, 2], [3, 4], [4, 7], [11, 11], [0, 0]]
    rows = np.zeros((5, 2, 14, 3), np.int64)
    rows[:, :, -1, 1] = largest
    chosen = look_ups.chosen(tf.constant(rows)).numpy()
    assert [look_ups.each[n].keywords["turns"] for n in chosen] == [3, 4, 8, 11, 3]


def test_the_first_step_charges_the_centres_probability(cdf):
    """The mean loss over all mixtures stays below a thousandth of a bit."""
    parameters = draw(4000, 3, seed=4)
    found = cdf.mixtures(*tensors(parameters))
    coded, centres = found.shares.numpy() / 2.0**PRECISION, found.centres.numpy()
    assert 0 < coded.min() and coded.max() < 1
    true = np.clip(real(parameters, centres + 0.5) - real(parameters, centres - 0.5), 1e-9, 1 - 1e-9)
    loss = true * np.log2(true / coded) + (1 - true) * np.log2((1 - true) / (1 - coded))
    assert loss.mean() < 1e-3 and loss.max() < 0.02


def test_the_first_step_reads_what_its_intervals_say(cdf):
    shares = np.array([1, 1, 20_000, 20_000, (1 << PRECISION) - 1, 1 << PRECISION])
    numbers = np.array([0, 1, 19_999, 20_000, (1 << PRECISION) - 1, 77])
    after, other = cdf.first_step(tf.constant((5 << PRECISION) + numbers), tf.constant(shares))
    assert other.numpy().tolist() == [0, 1, 0, 1, 1, 0]
    starts, sizes = np.where(other, shares, 0), np.where(other, (1 << PRECISION) - shares, shares)
    assert np.array_equal(after, 5 * sizes + numbers - starts)
    assert -np.log2(((1 << PRECISION) - 1) / 2.0**PRECISION) == pytest.approx(FEWEST_BITS)


def test_the_centre_is_where_the_mass_is(cdf):
    means = [[-5 * 256], [7 * 256], [100 * 256]]
    found = cdf.mixtures(*tensors((means, [[20], [8], [60]], [[0], [256], [0]])))
    assert found.centres.numpy().tolist() == [7]
    assert gaussian.level_scales()[2] < 0.2 and float(found.masses[0]) / float(found.totals[0] + found.masses[0]) > 0.5
