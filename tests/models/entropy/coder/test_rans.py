"""The coder: exact round trips, its overhead, its independence of threads and of the saving, and what it refuses."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from models.entropy.coder import rans, rans_stream
from models.entropy.coder.rans import ESCAPE, RansCoder
from models.entropy.coder.rans_stream import MAX_SYMBOL
from models.entropy.densities.tables import CdfTables, gaussian_tables, tables_from_pmfs
from models.entropy.lanes import lane_plan
from tests.models.entropy.coder import reference_rans

SCALES = np.exp(np.linspace(np.log(0.11), np.log(256), 64))
SYMBOLS = tf.TensorSpec([None], tf.int32)
STREAM = tf.TensorSpec([], tf.string)


class Coder:
    """A coder with its two directions traced once."""

    def __init__(self, tables: CdfTables):
        self.tables, self.module = tables, RansCoder(tables)
        self.encode = tf.function(self.module.encode, input_signature=[SYMBOLS, SYMBOLS])
        self.decode = tf.function(self.module.decode, input_signature=[STREAM, SYMBOLS])

    def check(self, symbols, indexes) -> bytes:
        stream = self.encode(symbols, indexes)
        np.testing.assert_array_equal(self.decode(stream, indexes), symbols)
        return stream.numpy()


@pytest.fixture(scope="module")
def gaussians() -> Coder:
    return Coder(gaussian_tables(SCALES))


def draw(count: int, first: int, last: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and indexes, int32 [count], of the tables first to last - 1."""
    rng = np.random.default_rng(seed)
    indexes = rng.integers(first, last, count).astype(np.int32)
    return np.round(rng.normal(size=count) * SCALES[indexes]).astype(np.int32), indexes


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 100, 1000, 1001, 4095, 4096, 4097, 20000])
def test_round_trip_of_any_count(gaussians, count):
    gaussians.check(*draw(count, 0, 64, seed=count))


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_round_trip_around_whole_rows(gaussians, extra):
    """Counts of one less, as many, and one more than the lanes, whatever these are."""
    symbols, indexes = draw(6000, 20, 30)
    lanes = gaussians.check(symbols, indexes)[0]
    assert lanes > 8
    for rows in (1, 2, 16):
        gaussians.check(*draw(rows * lanes + extra, 20, 30))


def test_plain_python_reads_the_stream(gaussians):
    for count, first, last in ((1, 0, 64), (3000, 0, 64), (5000, 20, 64)):
        symbols, indexes = draw(count, first, last)
        symbols[::500] = 10**6
        stream = gaussians.check(symbols, indexes)
        assert reference_rans.decode(stream, indexes, gaussians.tables) == symbols.tolist()


@pytest.mark.parametrize("precision", [4, 12, 15])
def test_extreme_distributions(precision):
    """Nearly certain, certain, and uniform symbols, and nothing but escapes, in all orders."""
    total = 1 << precision
    sure, uniform = np.array([0.0, 1.0, 0.0]), np.ones(total - 1) if precision < 15 else np.ones(2000)
    coder = Coder(tables_from_pmfs([sure, uniform, np.ones(1)], [-1, -3, 7], [0, 1, 1e9], precision))
    rng = np.random.default_rng(2)
    for probabilities in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0.1, 0.1], [0.05, 0.9, 0.05]):
        indexes = rng.choice(3, 5000, p=probabilities).astype(np.int32)
        drawn = np.stack([np.zeros(5000), rng.integers(-3, len(uniform) - 3, 5000), rng.integers(8, 99, 5000)])
        coder.check(drawn[indexes, np.arange(5000)].astype(np.int32), indexes)


def test_more_symbols_than_one_chunk(gaussians, monkeypatch):
    monkeypatch.setattr(rans, "CHUNK", 1000)
    coder = Coder(gaussians.tables)
    for count in (999, 1000, 1001, 2000, 6400):
        symbols, indexes = draw(count, 0, 64)
        stream = coder.check(symbols, indexes)
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            coder.decode(stream[:-9], indexes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="chunks do not fit"):
        coder.decode(b"\xff\xff\xff\xff\x01" * 6 + stream, indexes)


def test_many_cheap_symbols_do_not_wait_for_one_lane(gaussians):
    symbols, indexes = draw(12_000, 2, 6)
    ideal = gaussians.tables.bits(symbols, indexes)
    stream = gaussians.check(symbols, indexes)
    assert ideal < 2000 and stream[0] >= 8 and len(stream) <= ideal / 8 + 24


def test_escapes_of_every_size(gaussians):
    powers = 2 ** np.arange(31)
    for symbols in (
        np.concatenate([powers, -powers]),
        np.array([MAX_SYMBOL]),
        np.array([-MAX_SYMBOL, ESCAPE, -ESCAPE]),
    ):
        for index in (0, 40):
            gaussians.check(symbols.astype(np.int32), np.full(len(symbols), index, np.int32))


@pytest.mark.parametrize(
    ("count", "first", "last", "fraction", "constant"),
    [(300_000, 5, 28, 0.005, 0), (60_000, 5, 28, 0.006, 0), (24_000, 5, 20, 0.006, 20), (500, 0, 10, 0.0, 12)],
)
def test_overhead(gaussians, count, first, last, fraction, constant):
    symbols, indexes = draw(count, first, last)
    ideal = gaussians.tables.bits(symbols, indexes) / 8
    assert len(gaussians.check(symbols, indexes)) <= ideal * (1 + fraction) + constant


def test_certain_symbols_cost_nothing():
    coder = Coder(CdfTables(np.array([[0, 4095, 4096]]), np.array([2]), np.array([0]), 12))
    assert len(coder.check(np.zeros(1000, np.int32), np.zeros(1000, np.int32))) <= 8


def steps_of(coder, steps: int, slots: int):
    """Functions that encode, and decode step by step inside a loop, [steps, slots]."""

    @tf.function
    def decode(stream, indexes, valid):
        def body(step, state, found):
            state, symbols = coder.module.pull(state, indexes[step], valid[step])
            return step + 1, state, found.write(step, symbols)

        found = tf.TensorArray(tf.int32, steps, element_shape=[slots])
        loop = (0, coder.module.begin(stream), found)
        _, state, found = tf.while_loop(lambda step, *_: step < steps, body, loop)
        with tf.control_dependencies([coder.module.finish(state)]):
            return found.stack()

    return tf.function(coder.module.encode_steps), decode


@pytest.mark.parametrize(("steps", "slots"), [(1, 1), (3, 5), (40, 150), (12, 1500)])
def test_steps_decode_inside_a_loop(gaussians, steps, slots):
    encode, decode = steps_of(gaussians, steps, slots)
    for share in (1.0, 0.4, 0.0):
        symbols, indexes = (numbers.reshape(steps, slots) for numbers in draw(steps * slots, 5, 40))
        valid = np.random.default_rng(3).random((steps, slots)) < share
        indexes = np.where(valid, indexes, 10**6).astype(np.int32)  # what is not valid is not looked at
        stream = encode(np.where(valid, symbols, -(2**31)), indexes, valid)
        np.testing.assert_array_equal(decode(stream, indexes, valid), np.where(valid, symbols, 0))
        ideal = gaussians.tables.bits(symbols[valid], indexes[valid]) / 8
        assert len(stream.numpy()) <= ideal * 1.006 + 26
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged|ends early"):
            decode(tf.constant(stream.numpy()[:-1]), indexes, valid)


def test_a_step_may_be_pulled_without_its_invalid_end(gaussians):
    symbols, indexes = (numbers.reshape(30, 400) for numbers in draw(12000, 5, 40))
    sizes = np.random.default_rng(4).integers(0, 401, 30)
    valid = np.arange(400) < sizes[:, None]
    state = gaussians.module.begin(gaussians.module.encode_steps(symbols, indexes, valid))
    pull = tf.function(gaussians.module.pull, reduce_retracing=True)
    for step, size in enumerate(sizes):
        state, found = pull(state, indexes[step, :size])
        np.testing.assert_array_equal(found, symbols[step, :size])
    gaussians.module.finish(state)


def test_steps_left_out_are_noticed(gaussians):
    symbols, indexes = (numbers.reshape(4, 50) for numbers in draw(200, 5, 40))
    state = gaussians.module.begin(gaussians.module.encode_steps(symbols, indexes))
    state, _ = gaussians.module.pull(state, indexes[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="number of steps"):
        gaussians.module.finish(state)


_ELSEWHERE = """
    import hashlib, sys
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
    tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[2]))
    saved = tf.saved_model.load(sys.argv[1])
    symbols = tf.cast(tf.round(tf.random.stateless_normal([30000], [1, 2]) * 2), tf.int32)
    indexes = tf.where(symbols % 2 == 0, 25, 30)
    for _ in range(2):
        stream = saved.signatures["encode"](symbols=symbols, indexes=indexes)["stream"]
        decoded = saved.signatures["decode"](stream=stream, indexes=indexes)["symbols"]
        assert tf.reduce_all(decoded == symbols)
    print(hashlib.sha256(stream.numpy()).hexdigest())
"""


@pytest.fixture(scope="module")
def saved(gaussians, tmp_path_factory) -> str:
    """A SavedModel of both directions."""
    directory = str(tmp_path_factory.mktemp("coder"))
    coder = RansCoder(gaussians.tables)

    @tf.function(input_signature=[SYMBOLS, SYMBOLS])
    def encode(symbols, indexes):
        return {"stream": coder.encode(symbols, indexes)}

    @tf.function(input_signature=[STREAM, SYMBOLS])
    def decode(stream, indexes):
        return {"symbols": coder.decode(stream, indexes)}

    tf.saved_model.save(coder, directory, signatures={"encode": encode, "decode": decode})
    return directory


@pytest.mark.slow
def test_saved_and_read_elsewhere_on_one_thread_and_two(saved, tmp_path):
    script = tmp_path / "elsewhere.py"
    script.write_text(textwrap.dedent(_ELSEWHERE))
    runs = [subprocess.Popen([sys.executable, script, saved, n], stdout=subprocess.PIPE, cwd=tmp_path) for n in "12"]
    outputs = [run.communicate(timeout=100)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert outputs[0] == outputs[1] and len(outputs[0]) > 60


def test_the_saved_model_is_small_and_calls_no_python(saved):
    """That other processes load it with TensorFlow alone shows that no custom op is in it."""
    message = saved_model_pb2.SavedModel.FromString((Path(saved) / "saved_model.pb").read_bytes())
    ops = {node.op for function in message.meta_graphs[0].graph_def.library.function for node in function.node_def}
    assert "StatelessWhile" in ops and not {op for op in ops if "PyFunc" in op}
    # The lookup table (8 MiB) is not saved, only the tables it is made from.
    assert sum(path.stat().st_size for path in Path(saved).rglob("*") if path.is_file()) < 1 << 20


def test_saved_model_of_a_session_decodes(saved):
    """TensorFlow Serving runs signatures in a session."""
    symbols, indexes = draw(2000, 5, 40)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], saved).signature_def

        def run(name, output, **inputs):
            names = {signatures[name].inputs[key].name: value for key, value in inputs.items()}
            return session.run(signatures[name].outputs[output].name, names)

        stream = run("encode", "stream", symbols=symbols, indexes=indexes)
        for _ in range(2):
            np.testing.assert_array_equal(run("decode", "symbols", stream=stream, indexes=indexes), symbols)


def test_damage_is_refused_or_harmless(gaussians):
    """Flips, cuts, insertions and noise, without the container's checksum before the coder.

    The values of escapes stand outside the coder's states: only they can change unnoticed.
    """
    rng = np.random.default_rng(5)
    symbols, indexes = draw(100, 5, 40)
    symbols[::50] = 5000
    tables = gaussians.tables
    escaped = np.abs(symbols) > tables.sizes[indexes] // 2 - 1
    good = gaussians.check(symbols, indexes)
    refused = 0
    for trial in range(120):
        stream = bytearray(good)
        place = int(rng.integers(len(stream)) ** (1 if trial % 2 else 0.5))
        kind = trial % 4
        if kind == 0:
            stream[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del stream[place:]
        elif kind == 2:
            stream[place:place] = rng.bytes(int(rng.integers(1, 9)))
        else:
            stream = rng.bytes(int(rng.integers(0, 300)))
        try:
            decoded = gaussians.decode(bytes(stream), indexes).numpy()
            assert decoded.dtype == np.int32 and (decoded == symbols)[~escaped].all()
        except tf.errors.InvalidArgumentError as error:
            assert "damaged stream" in str(error)
            refused += 1
    assert refused >= 90


def test_other_indexes_are_refused(gaussians):
    symbols, indexes = draw(5000, 5, 40)
    stream = gaussians.encode(symbols, indexes)
    for other in (
        indexes[:-1],
        np.append(indexes, 5),
        np.where(np.arange(5000) == 77, indexes + 1, indexes),
        indexes[:0],
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            gaussians.decode(stream, other.astype(np.int32))


@pytest.mark.parametrize(
    ("symbol", "index", "message"), [(1, 64, "0 to 63"), (1, -1, "0 to 63"), (2**30 + 1, 0, "2\\*\\*30")]
)
def test_what_cannot_be_coded_is_refused(gaussians, symbol, index, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        gaussians.encode([symbol], [index])


def test_alphabets_beyond_16_bits_are_refused():
    with pytest.raises(ValueError, match="-32767 to 32767"):
        RansCoder(tables_from_pmfs([np.ones(3)], [32766], [0.1]))


@pytest.mark.parametrize("lanes", [1, 2, 3, 37, 1024])
def test_lane_plan_halves_down_to_one(lanes):
    plan = lane_plan(tf.constant(lanes, tf.int64)).numpy().tolist()
    assert plan[0] == lanes and plan[-1] == 1
    assert all(after == (before + 1) // 2 for before, after in zip(plan, plan[1:], strict=False))


def test_bits_are_estimated_within_a_tenth(gaussians):
    symbols, indexes = draw(9000, 5, 40)
    frequencies, _, _ = gaussians.module._intervals(symbols, indexes, None)
    estimate = int(rans_stream._ideal_bits(gaussians.tables.precision, frequencies))
    assert estimate == pytest.approx(gaussians.tables.bits(symbols, indexes), rel=0.1)
