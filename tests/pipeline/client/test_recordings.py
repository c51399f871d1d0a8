"""The command `predict` on electrocardiograms: whole, in windows, by a local, a served and a released model."""

import collections

import numpy as np
import pytest
import wfdb

from components.kinds.recordings import recordings
from components.serving.served_ecg import ServedEcg
from models.publishing import released
from pipeline import cli
from pipeline.client import recordings as client
from tests.components import untrained_ecg
from tests.models.ecg.test_bytes_serving import matlab
from tests.pipeline.runners.rest_server import serving


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("ecg")
    untrained_ecg.save(folder / "1")
    return folder


@pytest.fixture(scope="module")
def served(model):
    return ServedEcg(model)


def write(folder, name, signal, rate=300):
    """Writes a WFDB record of one lead."""
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(name, fs=rate, units=["mV"], sig_name=["ECG"], p_signal=signal[:, None].astype(float), fmt=["16"],
                adc_gain=[1000], baseline=[0], write_dir=str(folder))  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Recordings in a tree: WFDB's at two rates, one of the challenge, one without a header."""
    folder = tmp_path / "recordings"
    write(folder, "b", untrained_ecg.signal(9, 1))
    write(folder / "more", "c", untrained_ecg.signal(20, 2, 250), 250)
    steps = [np.rint(1000 * untrained_ecg.signal(seconds, 3))[None].astype(np.int16) for seconds in (6, 31)]
    (folder / "A00001.mat").write_bytes(matlab(steps[0]))
    (folder / "A00001.hea").write_text(f"A00001 1 300 {steps[0].size}\nA00001.mat 16+24 1000/mV 16 0 0 0 0 ECG\n")
    (folder / "d.mat").write_bytes(matlab(steps[1]))
    (folder / "notes.txt").write_text("no recording")
    return folder


def test_segments_and_signals_of_other_names_are_no_recordings_of_a_folder(tmp_path):
    for name in ("s0", "s1"):
        write(tmp_path, name, untrained_ecg.signal(3, 1))
    (tmp_path / "long.hea").write_text("long/2 1 300 1800\ns0 900\ns1 900\n")
    (tmp_path / "s1.dat").rename(tmp_path / "other.dat")
    (tmp_path / "s1.hea").write_text((tmp_path / "s1.hea").read_text().replace("s1.dat", "other.dat"))
    assert client.find([tmp_path]) == [tmp_path / "long.hea"]
    assert client.find([tmp_path / "s0.hea"]) == [tmp_path / "s0.hea"]


def predict(capsys, *arguments):
    """Runs the command; returns (exit code, lines of tab-separated fields, standard error)."""
    code = cli.main(["predict", *map(str, arguments)])
    told = capsys.readouterr()
    return code, [line.split("\t") for line in told.out.splitlines()], told.err


FILES = ("A00001.hea", "b.hea", "d.mat", "more/c.hea")


def test_each_recording_gets_a_line(folder, model, served, capsys):
    code, lines, said = predict(capsys, folder, "--model", model, "--top", 4)
    assert (code, said) == (0, "left out: 1 .txt\n") and [line[0] for line in lines] == [str(folder / f) for f in FILES]
    expected = served.probabilities([recordings.read(folder / f).samples for f in FILES])
    for (_, *said), p in zip(lines, expected, strict=True):
        assert said[::2] == [untrained_ecg.NAMES[k] for k in np.argsort(-p)]
        np.testing.assert_allclose(np.array(said[1::2], float), np.sort(p)[::-1], atol=6e-5)


def test_ways_to_name_a_recording(folder, model, capsys):
    named = [folder / "b", folder / "A00001.mat", folder / "A00001.hea", folder / "d.mat", folder / "d.mat"]
    code, lines, _ = predict(capsys, *named, "--model", model / "1")
    assert code == 0 and [line[0] for line in lines] == [str(folder / n) for n in ("b.hea", "A00001.mat", "d.mat")]


def test_bad_recordings_are_named_and_the_rest_answered(folder, model, capsys):
    (folder / "a.mat").write_bytes(b"")
    (folder / "cut.mat").write_bytes((folder / "d.mat").read_bytes()[:5000])
    (folder / "flat.mat").write_bytes(matlab(np.zeros([1, 900], np.int16)))
    (folder / "text.mat").write_text("not a recording\n" * 20)
    (folder / "more" / "c.dat").unlink()
    code, lines, said = predict(capsys, folder, "--model", model)
    assert code == 1 and [line[0] for line in lines] == [str(folder / f) for f in FILES[:3]]
    assert [line.split(":")[1].rpartition("/")[2] for line in said.splitlines() if line.startswith("error: ")] == [
        "a.mat", "cut.mat", "flat.mat", "c.hea", "text.mat"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "window", "step", "starts"),
    [
        (75, 30, 15, [(0, 30), (15, 30), (30, 30), (45, 30)]),
        (76, 30, 15, [(0, 30), (15, 30), (30, 30), (45, 30), (60, 16)]),
        (61, 30, 30, [(0, 30), (30, 30), (60, 1)]),
        (60.9, 30, 30, [(0, 30), (30, 30)]),  # less than a second is left
        (5.5, 30, 1, [(0, 5.5)]),
        (4, 1.5, 1.25, [(0, 1.5), (1.25, 1.5), (2.5, 1.5)]),
    ],
)
def test_windows(tmp_path, served, capsys, seconds, window, step, starts):
    signal = untrained_ecg.signal(seconds, 7)
    signal[: len(signal) // 2] *= 0.1  # so that not all windows are the same
    write(tmp_path, "long", signal)
    assert client.run([tmp_path], served, 1, None, window, step)
    told = capsys.readouterr()
    *lines, summary = [line.split("\t") for line in told.out.splitlines()]
    assert told.err == ""
    assert [line[:2] for line in lines] == [[f"{tmp_path}/long.hea", f"{start:.2f}"] for start, _ in starts]
    samples = recordings.read(tmp_path / "long").samples
    pieces = [samples[round(300 * start) : round(300 * (start + length))] for start, length in starts]
    best = [names[0] for names in served.best(pieces)]
    assert [line[2] for line in lines] == [name for name, _ in best]
    np.testing.assert_allclose([float(line[3]) for line in lines], [p for _, p in best], atol=6e-5)
    assert summary[:2] == [f"{tmp_path}/long.hea", f"{len(starts)} windows"]
    found = collections.Counter()  # a window that is cut short counts by its length
    for (name, _), piece in zip(best, pieces, strict=True):
        found[name] += len(piece)
    shares = dict(zip(summary[2::2], map(float, summary[3::2]), strict=True))
    assert shares == pytest.approx({name: length / found.total() for name, length in found.items()}, abs=6e-5)


class Alternating:
    """A model that calls every second signal A."""

    def best(self, signals, count):
        return [[("NA"[n % 2], 1.0)] for n in range(len(signals))]


def test_the_last_window_counts_by_its_length(tmp_path, capsys):
    write(tmp_path, "long", untrained_ecg.signal(35, 7))
    assert client.run([tmp_path], Alternating(), 1, None, 30, 30)
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[1:] == ["2 windows", "N", "0.8571", "A", "0.1429"]


def test_windows_take_what_is_too_long_as_a_whole(tmp_path, model, served, capsys):
    write(tmp_path, "hours", np.tile(untrained_ecg.signal(60, 8), 31))
    write(tmp_path, "short", untrained_ecg.signal(9, 8))
    code, lines, said = predict(capsys, tmp_path, "--model", model)
    assert code == 1 and [line[0] for line in lines] == [f"{tmp_path}/short.hea"]
    assert "hours.hea: lasts 31.0 min" in said and "stream mode" in said
    code, lines, said = predict(capsys, tmp_path, "--model", model, "--window", 60, "--overlap", 0)
    assert (code, said, len(lines)) == (0, "", 31 + 1 + 1 + 1)
    code, halves, _ = predict(capsys, tmp_path / "hours", "--model", model, "--window", 60)  # overlap half of it
    assert [line[1] for line in halves[:3]] == ["0.00", "30.00", "60.00"] and halves[:-1:2] == lines[:31]
    assert lines[31][1] == "31 windows" and len({tuple(line[2:]) for line in lines[:31]}) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["DATA", "--window", "30", "--overlap", "30"], "--overlap 30: must be from 0 to less than the window"),
        (["DATA", "--window", "30", "--overlap", "-1"], "--overlap -1: must be"),
        (["DATA", "--overlap", "1"], "--overlap needs --window"),
        (["DATA", "--window", "0.5"], "--window 0.5: must be between 1 and 1800 seconds"),
        (["DATA", "--url", "http://127.0.0.1:1/v1/models/x", "--model", "MODEL"], "either --model DIR or --url"),
        (["DATA", "--url", "127.0.0.1"], "not of the form"),
        (["DATA/none", "--model", "MODEL"], "no such file, folder or record"),
        (["MODEL", "--model", "MODEL"], "no file here ends in"),
        (["DATA", "--model", "DATA"], "no model here"),
        (["MODEL"], "only recordings (.hea, .mat, .dat) are answered without"),
    ],
)
def test_mistakes_are_one_line(folder, model, capsys, arguments, said):
    arguments = [a.replace("DATA", str(folder)).replace("MODEL", str(model)) for a in arguments]
    code, lines, error = predict(capsys, *arguments)
    assert (code, lines) == (2, []) and said in error and len(error.splitlines()) == 1


def test_a_server_gives_the_same_lines(folder, model, capsys):
    expected = predict(capsys, folder, "--model", model)
    top = predict(capsys, folder, "--model", model, "--top", 3)
    windows = ("--window", 10, "--overlap", 5)
    in_windows = predict(capsys, folder, "--model", model, *windows)
    with serving(model / "1") as url:
        assert predict(capsys, folder, "--url", url) == expected
        assert predict(capsys, folder, "--url", url, "--top", 3, "--parallel", 2) == top
        assert predict(capsys, folder, "--url", url, *windows) == in_windows
        code, _, said = predict(capsys, folder, "--url", f"{url}x")
        assert code == 2 and "the server refused: no such model" in said
    code, lines, said = predict(capsys, folder, "--url", url, "--wait", 0)
    assert (code, lines) == (1, []) and "Connection refused" in said


@pytest.mark.slow
def test_without_a_model_the_released_one_answers(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path / "cache"))
    code, lines, said = predict(capsys, folder)
    assert (code, lines) == (2, []) and "no released weights 'ecg_crnn'; there are: none; give --model DIR" in said
    recipe, config, model = untrained_ecg.build()
    released.pack(recipe, config, model, tmp_path / "ecg_crnn.npz")
    code, lines, said = predict(capsys, folder)
    assert code == 0 and "preparing the released model 'ecg_crnn'" in said
    samples = recordings.read(folder / "b").samples
    logits = np.array(model({"samples": samples[None], "length": np.array([len(samples)])}))[0].astype(float)
    p = np.exp(logits) / np.exp(logits).sum()
    name, said = lines[1][1:]
    assert name == untrained_ecg.NAMES[p.argmax()] and abs(float(said) - p.max()) < 5e-3  # weights of half precision
    assert predict(capsys, folder / "b") == (0, [lines[1]], "")  # it is there already


def test_ingest_and_command_take_the_same_endings():
    assert client.SUFFIXES == recordings.SUFFIXES
