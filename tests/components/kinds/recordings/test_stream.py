"""Recordings in pieces: what `recordings.read` gives, whatever the size of the pieces."""

import math

import numpy as np
import pytest
import wfdb

from components.kinds.recordings import recordings
from components.kinds.recordings.stream import stream
from tests.components import untrained_ecg
from tests.models.ecg.test_bytes_serving import matlab


def write(folder, signal, rate, **more):
    """Writes a WFDB record of two leads, the second of which is an electrocardiogram."""
    signals = np.stack([0 * signal + 0.5, signal], axis=1).astype(float)
    wfdb.wrsamp("r", fs=rate, units=["mV"] * 2, sig_name=["RESP", "ECG"], p_signal=signals, fmt=["16"] * 2,
                adc_gain=[1000] * 2, baseline=[0] * 2, write_dir=str(folder))  # fmt: skip
    return folder / "r.hea"


@pytest.mark.parametrize("rate", [128, 250, 300, 360, 1000])
def test_pieces_are_the_whole(tmp_path, rate):
    signal = untrained_ecg.signal(21.7, 3, rate)
    signal[500:520] = np.nan
    path = write(tmp_path, signal, rate)
    pieces = list(stream(path, piece_s=4))
    expected = recordings.read(path).samples
    assert len(pieces) > 4 and max(map(len, pieces)) <= 5 * 300
    got = np.concatenate(pieces)
    assert got.dtype == np.float32 and got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-6
    assert np.abs(np.concatenate(list(stream(tmp_path / "r", 1, 7))) - got).max() < 1e-6


def test_what_is_read_as_a_whole_comes_in_pieces_too(tmp_path):
    signal = untrained_ecg.signal(1900, 4)
    (tmp_path / "m.mat").write_bytes(matlab(np.rint(1000 * signal)[None].astype(np.int16)))
    pieces = list(stream(tmp_path / "m.mat"))
    assert [len(p) for p in pieces] == [270_000, 270_000, 30_000]
    assert np.array_equal(np.concatenate(pieces), recordings.read(tmp_path / "m.mat", limit_s=math.inf).samples)
    with pytest.raises(recordings.RecordingError, match=r"31\.7 min"):
        recordings.read(tmp_path / "m.mat")


def fails(path, *arguments, match):
    """Pieces that came before the error."""
    found = []
    with pytest.raises(recordings.RecordingError, match=match):
        for piece in stream(path, *arguments):
            found.append(piece)
    return found


def test_errors_come_when_they_are_known(tmp_path):
    path = write(tmp_path, untrained_ecg.signal(20, 5), 300)
    assert fails(path, 2, 5, match="there is no lead 2") == []
    assert len(fails(path, 0, 5, match="a flat line")) == 4
    assert fails(tmp_path / "none.hea", match="cannot be opened") == []
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data[: len(data) // 2])
    assert len(fails(path, 1, 4, match="r.hea: WFDB cannot read it")) == 2
    (tmp_path / "r.dat").write_bytes(data)
    gaps = untrained_ecg.signal(20, 5)
    gaps[1000:] = np.nan
    assert len(fails(write(tmp_path, gaps, 300), 1, 5, match="83% of its samples are missing")) == 4
