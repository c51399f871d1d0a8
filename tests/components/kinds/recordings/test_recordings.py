"""Readers of recordings: formats that agree, what is made of odd signals, what is refused and in which words."""

import io

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
import wfdb

from components.kinds.recordings import recordings
from components.kinds.recordings.recordings import RecordingError, noise_class, read, read_bytes
from models.records import ecg_units
from models.records import recordings as ecg_records
from tests.components.recordings_on_disk import ROOT, header, matlab4, steps, wave, write_pair, write_wfdb


def test_three_readers_agree_sample_by_sample(tmp_path):
    values = steps(10)
    path = write_pair(tmp_path, "A1", values)
    found = read(path)
    np.testing.assert_array_equal(scipy.io.loadmat(path)["val"][0], values)
    np.testing.assert_array_equal(wfdb.rdrecord(str(tmp_path / "A1"), physical=False).d_signal[:, 0], values)
    np.testing.assert_allclose(found.samples, wfdb.rdrecord(str(tmp_path / "A1")).p_signal[:, 0], atol=1e-7)
    np.testing.assert_array_equal(np.rint(found.samples * 1000), values)
    assert found.samples.dtype == np.float32 and found.format == "mat" and found.original_rate == 300
    assert found.size_bytes == path.stat().st_size and found.gaps == found.clipped == 0
    for other in (tmp_path / "A1", tmp_path / "A1.hea"):
        np.testing.assert_array_equal(read(other).samples, found.samples)
    np.testing.assert_array_equal(read_bytes(path.read_bytes()).samples, found.samples)


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_matlab_files_of_other_numbers(dtype, order):
    values = steps(3)
    content = matlab4(values.astype(dtype), b"signal\0", order)
    np.testing.assert_array_equal(read_bytes(content).samples, read_bytes(matlab4(values)).samples)


def test_matlab_files_of_version_5_and_columns():
    values, buffer = steps(3), io.BytesIO()
    scipy.io.savemat(buffer, {"val": values[None]})
    expected = read_bytes(matlab4(values)).samples
    np.testing.assert_array_equal(read_bytes(buffer.getvalue()).samples, expected)
    np.testing.assert_array_equal(read_bytes(matlab4(values[:, None])).samples, expected)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"other": values[None]})
    with pytest.raises(RecordingError, match="holds no matrix of numbers named 'val'"):
        read_bytes(buffer.getvalue())


@pytest.mark.parametrize("fmt", ["16", "212", "24", "516"])
def test_formats_of_wfdb(tmp_path, fmt):
    path = write_wfdb(tmp_path, "r", wave(10), fmt=[fmt], adc_gain=[500.0], baseline=[20])
    found = read(path)
    np.testing.assert_allclose(found.samples, wave(10), atol=1.1e-3)
    np.testing.assert_allclose(found.samples, wfdb.rdsamp(str(path))[0][:, 0], atol=1e-6)
    assert found.format == "wfdb" and read(f"{path}.hea").samples.tobytes() == found.samples.tobytes()
    assert found.size_bytes == next(tmp_path.glob("r.*at")).stat().st_size


@pytest.mark.parametrize("rate", [128, 250, 360, 500, 977, 1000])
def test_other_rates_are_resampled(tmp_path, rate):
    time = np.arange(20 * rate) / rate
    found = read(write_wfdb(tmp_path, "r", np.sin(2 * np.pi * 5 * time), rate, adc_gain=[10000.0], baseline=[0]))
    expected = np.sin(2 * np.pi * 5 * np.arange(len(found.samples)) / 300)
    assert len(found.samples) == pytest.approx(20 * 300, abs=1) and found.original_rate == rate
    np.testing.assert_allclose(found.samples[300:-300], expected[300:-300], atol=0.01)


def test_the_gain_and_the_zero_of_the_header_count_once(tmp_path):
    values = steps(4)
    plain = read(write_pair(tmp_path, "a", values)).samples
    np.testing.assert_allclose(read(write_pair(tmp_path, "b", values, gain="200/mV")).samples, 5 * plain, rtol=1e-6)
    np.testing.assert_allclose(
        read(write_pair(tmp_path, "c", values, gain="1/uV")).samples, plain, rtol=1e-5, atol=1e-6
    )
    moved = read(write_pair(tmp_path, "d", values + 100, gain="1000(100)/mV")).samples
    np.testing.assert_allclose(moved, plain, atol=1e-6)
    np.testing.assert_allclose(read(write_pair(tmp_path, "e", values + 7, zero=7)).samples, plain, atol=1e-6)
    np.testing.assert_allclose(read(write_pair(tmp_path, "f", values, gain="0")).samples, 5 * plain, rtol=1e-6)
    np.testing.assert_allclose(read_bytes(matlab4(values), gain=500).samples, 2 * plain, rtol=1e-6)


def test_the_lead_is_found_by_name_or_index(tmp_path):
    both = np.stack([steps(4, 1), steps(4, 2), steps(4, 3)])
    path = write_pair(tmp_path, "a", both, leads=("V5", "II", "I"))
    for lead, row in ((None, 1), (0, 0), (2, 2)):
        np.testing.assert_allclose(read(path, lead).samples, both[row] / 1000, atol=1e-6)
    record = write_wfdb(tmp_path, "b", both.T / 1000, sig_name=["V5", "V6", "MLII"])
    np.testing.assert_allclose(read(record).samples, both[2] / 1000, atol=1e-3)
    assert read(write_pair(tmp_path, "c", both, leads=("V5", "V1", "V2"))).samples[9] == np.float32(both[0, 9] / 1000)
    with pytest.raises(RecordingError, match="there is no lead 3; it has 3, from 0"):
        read(path, 3)
    with pytest.raises(RecordingError, match="the lead 'ABP' is in mmHg, which is no voltage"):
        read(write_pair(tmp_path, "d", steps(4), leads=("ABP",), gain="10/mmHg"))


def test_gaps_become_zero_and_are_counted(tmp_path):
    values = steps(10)
    values[500:900] = -32768
    found = read(write_pair(tmp_path, "a", values))
    assert found.gaps == 400 and not found.samples[500:900].any() and found.samples[:500].any()
    signal = wave(10)
    signal[500:900] = np.nan
    again = read(write_wfdb(tmp_path, "b", signal))
    assert again.gaps == 400 and not again.samples[500:900].any()
    np.testing.assert_allclose(again.samples, found.samples, atol=1e-3)
    assert read_bytes(matlab4(np.where(np.isnan(signal), np.inf, np.rint(signal * 1000)))).gaps == 400


def test_clipped_samples_are_counted_and_stay():
    values = np.clip(steps(10), -300, 250)
    found = read_bytes(matlab4(values))
    at_limits = ((values == 250) | (values == -300)).sum()  # single samples there may be peaks
    assert 100 < 0.9 * at_limits < found.clipped <= at_limits
    assert found.samples.max() == np.float32(0.25)
    huge = np.clip(wave(10) * 100, -40, 40)  # beyond what a record can hold
    found = read_bytes(matlab4(huge), gain=1)
    assert found.clipped >= (abs(huge) > ecg_units.LIMIT).sum() > 0
    assert abs(found.samples).max() == np.float32(ecg_units.LIMIT)


def test_an_inverted_lead_stays_inverted():
    up, down = (read_bytes(matlab4(sign * steps(5))) for sign in (1, -1))
    np.testing.assert_array_equal(up.samples, -down.samples)
    assert up[2:] == down[2:]


def test_the_noise_class_follows_wander_and_high_frequencies():
    time, rng = np.arange(9000) / 300, np.random.default_rng(0)
    heart = 0.3 * np.sin(2 * np.pi * 8 * time)
    wander, high = np.sin(2 * np.pi * 0.6 * time), rng.standard_normal(9000)
    assert noise_class(heart) == "clean" and noise_class(3 * heart) == "clean"
    assert noise_class(heart + 0.2 * wander) == "noisy" and noise_class(heart + 0.5 * wander) == "very_noisy"
    assert noise_class(heart + 0.02 * high) == "noisy" and noise_class(heart + 0.05 * high) == "very_noisy"
    assert noise_class(heart[:300]) == "clean"


def half_missing(folder):
    values = steps(10)
    values[::2] = values[::3] = -32768
    return write_pair(folder, "A1", values)


def cut(folder):
    path = write_pair(folder, "A1", steps(30))
    path.write_bytes(path.read_bytes()[:6000])
    return path


def wrong_header(folder, content):
    path = write_pair(folder, "A1", steps(30))
    (folder / "A1.hea").write_text(content)
    return path


def only(folder, content):
    (folder / "A1.mat").write_bytes(content)
    return folder / "A1.mat"


def long_wfdb(folder):
    (folder / "A1.hea").write_text("A1 1 300 10000000\nA1.dat 16 1000/mV 16 0 0 0 0 ECG\n")
    return folder / "A1"


def torn_wfdb(folder):
    path = write_wfdb(folder, "A1", wave(30))
    (folder / "A1.dat").write_bytes((folder / "A1.dat").read_bytes()[:6000])
    return path


DAMAGED = {
    "truncated `.mat`": (cut, "A1.mat: cut off: 5976 of 18000 bytes of the signal are there"),
    "header of another recording": (
        lambda f: wrong_header(f, header("A1", 8000)),
        "A1.mat: the header says 1 leads of 8000 samples, the signal has 1 of 9000",
    ),
    "header that is none": (
        lambda f: wrong_header(f, "no header at all\n"),
        "A1.mat: the header is damaged: no record line",
    ),
    "header without its signal lines": (
        lambda f: wrong_header(f, "A1 1 300 9000\n"),
        "A1.mat: the header is damaged: 0 of 1 lines follow",
    ),
    "header with an impossible rate": (
        lambda f: wrong_header(f, header("A1", 9000, rate=3)),
        "A1.mat: the header says 3 samples a second; 50 to 100000 are read",
    ),
    "header that names a file elsewhere": (
        lambda f: wrong_header(f, header("../A1", 9000).replace("../A1 1", "A1 1")),
        "A1.mat: the header is damaged: cannot read the signal line '../A1.mat 16+24 1000/mV 16 0 -127 0 0 ECG'",
    ),
    "empty file": (lambda f: only(f, b""), "A1.mat: the file is empty"),
    "text file": (
        lambda f: only(f, b"time,millivolts\n0.0,0.1\n"),
        "A1.mat: not a MATLAB file of version 4 or 5 (it starts with b'time,millivolts\\n')",
    ),
    "NaN only": (
        lambda f: only(f, matlab4(np.full(9000, np.nan))),
        "A1.mat: every sample is missing (NaN or marked as invalid)",
    ),
    "more than half missing": (half_missing, "A1.mat: 67% of its samples are missing; at most half may be"),
    "flat line": (
        lambda f: only(f, matlab4(np.full(9000, 7, np.int16))),
        "A1.mat: a flat line; the signal does not vary by a microvolt",
    ),
    "3 samples": (
        lambda f: only(f, matlab4(steps(0.01))),
        "A1.mat: lasts 0.01 s (3 samples); at least 1 s is needed",
    ),
    "10 million samples": (
        lambda f: only(f, matlab4(np.resize(steps(30), 10_000_000))),
        "A1.mat: lasts 555.6 min (10000000 samples), more than 30; cut it, or use the stream mode of `predict`",
    ),
    "10 million samples by a WFDB header": (
        long_wfdb,
        "A1: lasts 555.6 min (10000000 samples), more than 30; cut it, or use the stream mode of `predict`",
    ),
    "truncated `.dat`": (torn_wfdb, "A1: WFDB cannot read it: "),
    "no such file": (lambda f: f / "A1.mat", "A1.mat: cannot be opened: No such file or directory"),
    "fractions without a header": (
        lambda f: only(f, matlab4(wave(30))),
        "A1.mat: its numbers are fractions, and nothing says their unit; write a header (.hea) with gain and unit",
    ),
    "lead in no voltage": (
        lambda f: write_pair(f, "A1", steps(30), gain="1000/NU"),
        "A1.mat: the lead 'ECG' is in NU, which is no voltage",
    ),
    "no lead named like one of an electrocardiogram": (
        lambda f: write_pair(f, "A1", steps(30), leads=("Resp",)),
        "A1.mat: no lead is named like one of an electrocardiogram ('Resp'); choose one by its index",
    ),
    "`.dat` without a header": (lambda f: f / "A1.dat", "A1.dat: there is no header A1.hea beside it"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_inputs_are_one_line_that_the_documentation_quotes(tmp_path, case):
    make, message = DAMAGED[case]
    with pytest.raises(RecordingError) as caught:
        read(make(tmp_path))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    quoted = (ROOT / "docs" / "ecg.md").read_text()
    assert f"| {case} |" in quoted and str(caught.value) in quoted


def test_the_limits_of_length(tmp_path):
    assert len(read_bytes(matlab4(steps(1))).samples) == 300
    assert len(read(write_wfdb(tmp_path, "r", wave(1800, rate=100), 100)).samples) == 540_000
    for seconds in (0.99, 1800.01):
        with pytest.raises(RecordingError, match="lasts"):
            read_bytes(matlab4(steps(seconds)))
    with pytest.raises(RecordingError, match="no-rate: nan samples a second"):
        read_bytes(matlab4(steps(9)), name="no-rate", rate=float("nan"))


def test_what_is_read_becomes_a_record_and_comes_back():
    found = read_bytes(matlab4(steps(9)))
    example = ecg_records.recording_example(
        found.samples, key="A1", format_name=found.format, original_rate=found.original_rate,
        size_bytes=found.size_bytes, noise_class=found.noise_class, label_name="N",
    )  # fmt: skip
    parsed = ecg_records.parse(tf.constant(example.SerializeToString()))
    np.testing.assert_allclose(ecg_records.decode(parsed[ecg_records.SIGNAL]), found.samples, atol=1e-7)
    assert parsed[ecg_records.NOISE_CLASS].numpy().decode() in recordings.NOISE_CLASSES
