"""Headers and layouts as people have them: what is written in an unusual way is read as what it means, or refused."""

import io
import os

import numpy as np
import pytest
import scipy.io

from components.kinds.recordings.headers import lead_index, read_header
from components.kinds.recordings.places import scan
from components.kinds.recordings.recordings import RecordingError, read, read_bytes
from components.kinds.recordings.stream import stream
from tests.components.recordings_on_disk import ROOT, matlab4, steps, wave, write_wfdb

SIGNAL = "r.dat 16 1000/mV 16 0 0 0 0 ECG"


def record(folder, head, *lines, values=None, name="r", encoding="utf-8"):
    """Writes a header as it stands, and int16 values in the order of the file; returns the header's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.hea"
    path.write_bytes("\n".join([head, *lines, ""]).encode(encoding))
    (folder / f"{name}.dat").write_bytes((steps(30) if values is None else values).astype("<i2").tobytes())
    return path


def agrees(path, expected=None, **options):
    expected = steps(30) / 1000 if expected is None else expected
    found = read(path, **options)
    np.testing.assert_allclose(found.samples, expected, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(list(stream(path, piece_s=7, **options))), expected, atol=1e-6)
    return found


@pytest.mark.parametrize("unit", ["uV", "UV", "\u00b5V", "\u03bcV", "microvolts"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_microvolts_are_read_however_they_are_written(tmp_path, unit, encoding):
    if "\u03bc" in unit and encoding == "latin-1":
        encoding = "utf-16"  # Latin-1 has the micro sign alone
    agrees(record(tmp_path, "r 1 300 9000", f"r.dat 16 1/{unit} 16 0 0 0 0 ECG", encoding=encoding))


@pytest.mark.parametrize("unit", ["\ufffdV", "NU", "mmHg", "bpm"])
def test_a_unit_that_is_no_voltage_is_refused_by_its_name(tmp_path, unit):
    with pytest.raises(RecordingError, match=f"r.hea: the lead 'ECG' is in {unit}, which is no voltage"):
        read(record(tmp_path, "r 1 300 9000", f"r.dat 16 1/{unit} 16 0 0 0 0 ECG"))


@pytest.mark.parametrize("head", [
    "r 1 300 9000 0:0:0 2006", "r 1 300 9000 12:00 31/02/2001", "r 1 300 9000 0:0:0 1-May-2006", "r 1 300 0", "r 1 300",
    "r 1 300/1000(5) 9000", "r 1 300.0 9000", "# a comment\n\nr 1 3e2 9000", "\ufeffr 1 300 9000",
])  # fmt: skip
def test_dates_lengths_counters_and_marks_do_not_matter(tmp_path, head):
    assert agrees(record(tmp_path, head, SIGNAL)).original_rate == 300


def test_a_length_that_is_not_said_is_that_of_the_file(tmp_path):
    both = np.stack([steps(30, 1), steps(30, 2)], axis=1)
    agrees(record(tmp_path, "r 2 300 0", SIGNAL, SIGNAL, values=both), both[:, 1] / 1000, lead=1)
    path = record(tmp_path / "packed", "r 1 300", SIGNAL.replace("16", "310", 1))
    with pytest.raises(RecordingError, match="the header says no length, and format 310 does not tell it"):
        read(path)


def test_names_may_hold_dots_and_files_may_not_lie_elsewhere(tmp_path):
    path = record(tmp_path, "a.b 1 300 9000", "a.b.dat 16 1000/mV 16 0 0 0 0 ECG", name="a.b")
    agrees(path)
    assert scan(str(tmp_path)).records[0].key == "a.b"
    with pytest.raises(RecordingError, match="its signal c.dat is not there"):
        read(record(tmp_path, "r 1 300 9000", SIGNAL.replace("r.dat", "c.dat")))
    for file in ("../r.dat", "/etc/passwd", ".."):
        with pytest.raises(RecordingError, match="cannot read the signal line"):
            read(record(tmp_path, "r 1 300 9000", SIGNAL.replace("r.dat", file)))


@pytest.mark.parametrize("first", [True, False])
def test_a_lead_of_several_samples_a_frame_keeps_its_own_rate(tmp_path, first):
    heart, breath = steps(30, 3), steps(30, 4, 75)
    frames = [heart.reshape(-1, 4), breath[:, None]]
    lines = [SIGNAL.replace("16", "16x4", 1), SIGNAL.replace("ECG", "RESP")]
    order = slice(None, None, 1 if first else -1)
    path = record(tmp_path, "r 2 75 2250", *lines[order], values=np.concatenate(frames[order], axis=1))
    assert agrees(path, heart / 1000).original_rate == 300
    assert read(path, 1 if first else 0).original_rate == 75


@pytest.mark.parametrize(("names", "units", "chosen"), [
    (["RESP", "MCL1"], ["mV", "mV"], 1), (["PLETH", "chan 2"], ["mV", "mV"], 1), (["ECG", "II"], ["NU", "mV"], 1),
    (["V5", "lead II"], ["mV", "mV"], 1), (["ABP", "aVF", "V2"], ["mmHg", "mV", "mV"], 1), (["a", "b"], ["mV"] * 2, 0),
    (["Resp A", "DII", "ECG"], ["mV"] * 3, 1), (["EEG C3", "EKG"], ["uV", "uV"], 1), (["V5", "V1"], ["mV"] * 2, 0),
])  # fmt: skip
def test_the_lead_that_is_an_electrocardiogram(names, units, chosen):
    lines = [f"r.dat 16 1000/{u} 16 0 0 0 0 {n}" for n, u in zip(names, units, strict=True)]
    header = read_header("\n".join([f"r {len(lines)} 300", *lines]).encode(), "r")
    assert [lead.name for lead in header.leads] == names
    assert lead_index(header.leads, None, "r") == chosen


def test_a_record_without_an_electrocardiogram_is_refused_unless_a_lead_is_named(tmp_path):
    path = record(tmp_path, "r 1 300 9000", SIGNAL.replace("ECG", "Resp"))
    with pytest.raises(RecordingError, match=r"r.hea: no lead is named like one of an electrocardiogram \('Resp'\)"):
        read(path)
    agrees(path, lead=0)


def test_bare_matrices_of_fractions_are_refused_and_whole_numbers_are_steps():
    for content in (matlab4(wave(10)), version_5(wave(10)[None])):
        with pytest.raises(RecordingError, match="A1: its numbers are fractions, and nothing says their unit"):
            read_bytes(content, name="A1")
        np.testing.assert_allclose(read_bytes(content, gain=1.0).samples, wave(10), atol=1e-6)
    assert read_bytes(version_5(steps(10)[None].astype(float))).samples[9] == np.float32(steps(10)[9] / 1000)


def version_5(matrix):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"val": matrix})
    return buffer.getvalue()


def test_differences_are_summed_from_the_start_in_windows_too(tmp_path):
    values = np.rint(200 * wave(30)).astype(int)
    path = record(tmp_path, "r 1 300 9000", f"r.dat 8 200/mV 16 0 {values[0]} 0 0 ECG")
    (tmp_path / "r.dat").write_bytes(np.diff(values, prepend=values[0]).astype(np.int8).tobytes())
    agrees(path, values / 200)


def test_segments_with_a_layout_and_gaps_are_one_lead_in_windows_too(tmp_path):
    write_wfdb(tmp_path, "s1", np.stack([wave(5, 1), wave(5, 2)], 1), sig_name=["RESP", "II"])
    write_wfdb(tmp_path, "s2", wave(4, 3), sig_name=["RESP"])
    write_wfdb(tmp_path, "s3", np.stack([wave(5, 4), wave(5, 5)], 1), sig_name=["II", "V"])
    (tmp_path / "r_layout.hea").write_text("r_layout 2 300 0\n~ 0 1000/mV 0 0 0 0 0 RESP\n~ 0 1000/mV 0 0 0 0 0 II\n")
    (tmp_path / "r.hea").write_text("r/5 2 300 5100\nr_layout 0\ns1 1500\ns2 1200\n~ 900\ns3 1500\n")
    found = agrees(tmp_path / "r", read_parts(tmp_path))
    assert found.gaps == 2100
    (one,) = scan(str(tmp_path)).records
    assert one.key == "r" and set(one.files) >= {"s1.dat", "s3.dat", "r_layout.hea"}
    os.remove(tmp_path / "s3.hea")
    with pytest.raises(RecordingError, match="its segment s3 is not there"):
        read(tmp_path / "r")


def read_parts(folder):
    """What the segments hold of lead II, by themselves."""
    return np.concatenate([read(folder / "s1", 1).samples, np.zeros(2100), read(folder / "s3", 0).samples])


def field():
    """Inputs that people sent, beside the repository or a folder that it lies in; None without."""
    places = [parent / "shared" / "field" / "recordings" for parent in ROOT.parents]
    return next((place for place in places if place.is_dir()), None)


REFUSED = {
    "first_channel_no_voltage": "r.hea: the lead 'ECG' is in NU, which is no voltage",
    "mat_v5_double_mv": "A1.mat: its numbers are fractions, and nothing says their unit; write a header (.hea) with "
                        "gain and unit",
}  # fmt: skip


@pytest.mark.skipif(field() is None, reason="the inputs are not beside the repository")
def test_every_input_from_the_field_is_its_truth_or_refused_by_its_line():
    truth = np.load(field() / "uv_ascii" / "truth.npy")  # the one signal of all of them
    folders = sorted(field().iterdir())
    assert len(folders) >= 11
    for folder in folders:
        (path,) = [*folder.glob("*.hea")] or folder.glob("*.mat")
        if folder.name in REFUSED:
            with pytest.raises(RecordingError) as caught:
                read(path)
            assert str(caught.value) == REFUSED[folder.name]
            continue
        found = agrees(path, read(field() / "uv_ascii" / "r.hea").samples)
        given = folder / "truth.npy"
        assert abs(found.samples - (np.load(given) if given.exists() else truth)).max() < 0.00051  # half a step
