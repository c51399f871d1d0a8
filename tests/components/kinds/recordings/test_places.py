"""Places with recordings: what is found, in archives too, its labels and splits, what is listed or refused."""

import collections
import csv
import io
import os
import tarfile
import time
import zipfile

import numpy as np
import pytest
import scipy.io

from components.kinds.containers import members
from components.kinds.files import DataError
from components.kinds.recordings import labels as recording_labels
from components.kinds.recordings import places
from components.kinds.recordings.places import looks_like_challenge, scan
from components.kinds.recordings.recordings import read, read_bytes
from models.records.ecg_units import CLASSES
from models.records.pictures import SPLITS
from tests.components.recordings_on_disk import (
    ROOT,
    header,
    matlab4,
    real_recordings,
    steps,
    wave,
    write_pair,
    write_wfdb,
)


def challenge(folder, counts=(("N", 20), ("A", 10), ("O", 12), ("~", 5)), reference="REFERENCE-v3.csv"):
    """A folder as the challenge's: a second each, and a label file."""
    lines = []
    for label, count in counts:
        for _ in range(count):
            name = f"A{len(lines) + 1:05d}"
            write_pair(folder, name, steps(1, len(lines)))
            lines.append(f"{name},{label}")
    (folder / reference).write_text("\n".join(lines) + "\n")
    return folder


def by_key(place):
    return {record.key: record for record in place.records}


def test_the_layout_of_the_challenge(tmp_path):
    challenge(tmp_path / "training2017")
    place = scan(str(tmp_path), tuple(CLASSES))
    assert len(place.records) == 47 and place.label_version == "REFERENCE-v3.csv"
    assert collections.Counter(r.label for r in place.records) == {"N": 20, "A": 10, "O": 12, "~": 5}
    record = by_key(place)["training2017/A00001"]
    assert record.files == ("training2017/A00001.mat",) and record.size_bytes == 24 + 600 and record.label == "N"
    assert not (place.duplicates or place.unreadable or place.unlabelled or place.unknown_records or place.ignored)


def test_splits_are_stratified_and_depend_on_contents_and_labels_alone(tmp_path):
    place = scan(str(challenge(tmp_path / "a")))
    counts = collections.Counter((r.label, r.split) for r in place.records)
    assert [counts[n, "test"] for n in "NAO~"] == [counts[n, "validation"] for n in "NAO~"] == [2, 1, 1, 1]
    assert len({r.digest for r in place.records}) == 47
    os.rename(tmp_path / "a", tmp_path / "b")
    for name in ("A00001", "A00030"):
        for suffix in (".mat", ".hea"):
            os.rename(tmp_path / "b" / (name + suffix), tmp_path / "b" / ("Z" + name + suffix))
        text = (tmp_path / "b" / f"Z{name}.hea").read_text().replace(name, f"Z{name}")
        (tmp_path / "b" / f"Z{name}.hea").write_text(text)
    labels = (tmp_path / "b" / "REFERENCE-v3.csv").read_text()
    (tmp_path / "b" / "REFERENCE-v3.csv").write_text(labels.replace("A00001", "ZA00001").replace("A00030", "ZA00030"))
    again = scan(str(tmp_path / "b"))
    assert {r.digest: r.split for r in again.records} == {r.digest: r.split for r in place.records}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("inside", [True, False])
def test_archives_hold_the_same_as_folders(tmp_path, suffix, inside):
    folder = challenge(tmp_path / "training2017", (("N", 4), ("A", 3)))
    expected = scan(str(tmp_path))
    archive = tmp_path / f"out/training2017{suffix}"
    archive.parent.mkdir()
    names = sorted(p.name for p in folder.iterdir() if inside or p.suffix != ".csv")
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.write(folder / name, f"training2017/{name}")
    else:
        with tarfile.open(archive, "w:" + suffix.rpartition("tar")[2].strip(".")) as file:
            for name in names:
                file.add(folder / name, f"training2017/{name}")
    if not inside:
        os.rename(folder / "REFERENCE-v3.csv", archive.parent / "REFERENCE-v3.csv")
    found = scan(str(archive if inside else archive.parent))
    assert [r._replace(container="") for r in found.records] == expected.records
    assert found.label_version == "REFERENCE-v3.csv" and len(found.records) == 7
    assert not [p for p in archive.parent.iterdir() if p.is_dir()]


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz", ".tar.gz"])
def test_damaged_archives_are_one_clear_line(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("A1.mat", np.random.default_rng(0).bytes(50_000))
    else:
        (tmp_path / "A1.mat").write_bytes(np.random.default_rng(0).bytes(50_000))
        with tarfile.open(path, "w:" + suffix[5:]) as file:
            file.add(tmp_path / "A1.mat", "A1.mat")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match="cannot be read") as caught:
        scan(str(path))
    assert "\n" not in str(caught.value)
    path.write_text("no archive")
    with pytest.raises(DataError, match="the archive .* cannot be read"):
        list(members(str(path)))


def test_a_labels_file_of_the_users_own_keeps_its_splits(tmp_path):
    for n in range(6):
        write_wfdb(tmp_path / f"p{n % 2}", f"r{n}", wave(2, n))
    rows = ["record,label,split,age"]
    rows += [
        f"{'p1/r' if n % 2 else 'r'}{n},{'sinus' if n < 3 else 'flutter'},{('train', 'test')[n > 3]},7"
        for n in range(6)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "REFERENCE-v3.csv").write_text("r0,N\n")  # labels.csv comes first
    place = scan(str(tmp_path))
    assert {r.key: (r.label, r.split) for r in place.records} == {
        "p0/r0": ("sinus", "train"), "p1/r1": ("sinus", "train"), "p0/r2": ("sinus", "train"),
        "p1/r3": ("flutter", "train"), "p0/r4": ("flutter", "test"), "p1/r5": ("flutter", "test"),
    }  # fmt: skip
    assert place.label_version == "labels.csv"


def test_the_best_version_of_the_labels_is_taken():
    files = {"REFERENCE.csv": b"A1,O\n", "x/REFERENCE-original.csv": b"A1,A\n", "REFERENCE-v4.csv": b"A1,~\n"}
    assert recording_labels.choose(files) == ({"A1": ("~", "", "")}, "REFERENCE-v4.csv")
    assert recording_labels.choose(files | {"y/REFERENCE-v3.csv": b"A1,N\n"}).version == "REFERENCE-v3.csv"
    del files["REFERENCE-v4.csv"]
    assert recording_labels.choose(files).version == "REFERENCE.csv"
    assert recording_labels.choose({}) == ({}, "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "A1,N\n", "labels.csv: the first line must name the columns record and label"),
        ("REFERENCE.csv", "A1,N,extra\n", "REFERENCE.csv, line 1: wanted is record,label, got 'A1,N,extra'"),
        ("REFERENCE.csv", "A1,N\nA1,A\n", "REFERENCE.csv: A1 has two labels, 'N' and 'A'"),
        ("labels.csv", "record,label,split\nA1,N,dev\n", "line 2: the split is 'dev', not one of train, validation"),
        ("labels.csv", b"record,label\nA1,\xff\n", "labels.csv: not a text file"),
    ],
)
def test_label_files_that_cannot_be_used_are_one_clear_line(name, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(DataError, match=message):
        recording_labels.choose({name: content})


def test_an_unknown_label_stops_the_challenge_and_not_other_folders(tmp_path):
    challenge(tmp_path, (("N", 3), ("AFIB", 1)))
    with pytest.raises(DataError) as caught:
        scan(str(tmp_path), tuple(CLASSES))
    assert _documented(str(caught.value))
    assert {r.label for r in scan(str(tmp_path)).records} == {"N", "AFIB"}


def _documented(message):
    return message in (ROOT / "docs" / "ecg.md").read_text()


def test_recordings_without_a_label_are_left_out_and_listed(tmp_path):
    challenge(tmp_path)
    labels = (tmp_path / "REFERENCE-v3.csv").read_text().replace("A00002,N\n", "").replace("A00004,N", "A00004,")
    (tmp_path / "REFERENCE-v3.csv").write_text(labels + "A09999,N\nA08888,A\n")
    place = scan(str(tmp_path), tuple(CLASSES))
    assert place.unlabelled == ["A00002", "A00004"] and len(place.records) == 45
    assert place.unknown_records == ["A08888", "A09999"]
    (tmp_path / "REFERENCE-v3.csv").unlink()
    place = scan(str(tmp_path))
    assert place.unlabelled == [] and len(place.records) == 47 and {r.label for r in place.records} == {""}
    assert collections.Counter(r.split for r in place.records) == {"train": 37, "validation": 5, "test": 5}


def test_duplicates_are_one_recording_whatever_they_are_named(tmp_path):
    challenge(tmp_path / "training2017", (("N", 4), ("A", 4)))
    write_pair(tmp_path / "a", "again", steps(1, 2))
    write_pair(tmp_path / "validation", "A00005", steps(1, 4))
    place = scan(str(tmp_path), tuple(CLASSES))
    assert place.duplicates == [
        {"path": "a/again", "same_as": "training2017/A00003"},
        {"path": "validation/A00005", "same_as": "training2017/A00005"},
    ]
    assert len(place.records) == 8 and place.unlabelled == []
    with open(tmp_path / "training2017" / "REFERENCE-v3.csv", "a") as file:
        file.write("again,A\n")
    with pytest.raises(DataError) as caught:
        scan(str(tmp_path), tuple(CLASSES))
    assert _documented(str(caught.value))


def test_one_name_for_two_recordings_asks_for_paths(tmp_path):
    challenge(tmp_path / "training2017", (("N", 3),))
    write_pair(tmp_path / "other", "A00001", steps(1, 77))
    message = r"A00001 names two different recordings \(other/A00001 and training2017/A00001\)"
    with pytest.raises(DataError, match=message):
        scan(str(tmp_path))


def test_what_cannot_be_opened_is_listed_and_the_rest_counted(tmp_path):
    challenge(tmp_path, (("N", 3),))
    (tmp_path / "A00004.mat").touch()
    (tmp_path / "A00004.hea").write_text(header("A00004", 300))
    (tmp_path / "A00005.hea").write_text(header("A00005", 300))
    write_pair(tmp_path, "A00006", steps(1, 6))
    (tmp_path / "A00006.hea").write_text("damaged\n")
    (tmp_path / "A00007.dat").write_bytes(b"12")
    (tmp_path / "A00008.mat").symlink_to(tmp_path / "nowhere")
    (tmp_path / "bare.mat").write_bytes(matlab4(steps(1, 9)))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.mat").write_text("x")
    place = scan(str(tmp_path))
    assert [(u["path"], u["reason"]) for u in place.unreadable] == [
        ("A00004.mat", "the file is empty"),
        ("A00005.hea", "its signal A00005.mat is not there, or cannot be read"),
        ("A00006.hea", "the header is damaged: no record line"),
        ("A00007.dat", "there is no header A00007.hea beside it"),
        ("A00008.mat", "cannot be opened: No such file or directory"),
    ]
    assert place.unlabelled == ["bare"] and place.ignored == {".txt": 1, "hidden": 1}
    assert place.unknown_records == []


def test_records_of_several_segments_are_one(tmp_path):
    for n in range(2):
        write_wfdb(tmp_path, f"s{n}", wave(3, n))
    (tmp_path / "long.hea").write_text("long/2 1 300 1800\ns0 900\ns1 900\n")
    (record,) = scan(str(tmp_path)).records
    assert record.key == "long" and record.files == ("s0.hea", "s0.dat", "s1.hea", "s1.dat")
    found = read(tmp_path / "long")
    np.testing.assert_allclose(found.samples, np.concatenate([wave(3, 0), wave(3, 1)]), atol=1e-3)


def test_the_digest_notices_signals_headers_labels_and_nothing_else(tmp_path):
    challenge(tmp_path, (("N", 4), ("A", 4)))
    digests = [scan(str(tmp_path)).digest]
    for change in (
        lambda: write_pair(tmp_path, "A00001", steps(1, 99)),
        lambda: write_pair(tmp_path, "A00001", steps(1, 99), gain="200/mV"),
        lambda: (tmp_path / "A00002.mat").write_bytes(b""),
        lambda: (tmp_path / "REFERENCE-v3.csv").write_text("".join(f"A0000{n},N\n" for n in range(1, 9))),
    ):
        change()
        digests.append(scan(str(tmp_path)).digest)
    assert len(set(digests)) == 5
    (tmp_path / "notes.txt").write_text("no recording")
    assert scan(str(tmp_path)).digest == digests[-1]


@pytest.mark.parametrize("make", ["missing", "file", "empty", "others", "unreadable"])
def test_a_wrong_place_is_one_clear_line(tmp_path, make):
    place = tmp_path / make
    if make == "file":
        place.write_text("x")
    elif make != "missing":
        place.mkdir()
    if make == "others":
        (place / "a.edf").touch()
    if make == "unreadable":
        (place / "a.mat").touch()
    expected = {
        "missing": "does not exist", "file": "is no folder and no archive", "empty": r"it holds nothing\)",
        "others": "it holds 1 .edf", "unreadable": "a.mat: the file is empty",
    }  # fmt: skip
    with pytest.raises(DataError, match=expected[make]) as caught:
        scan(str(place))
    assert "\n" not in str(caught.value)


def test_which_places_look_like_the_challenge(tmp_path):
    challenge(tmp_path / "a" / "training2017", (("N", 1),))
    write_wfdb(tmp_path / "b", "r", wave(2))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "training2017.zip").touch()
    found = {name: looks_like_challenge(str(tmp_path / name)) for name in ("a", "b", "c", "c/training2017.zip")}
    assert found == {"a": True, "b": False, "c": True, "c/training2017.zip": True}


@pytest.mark.skipif(real_recordings() is None, reason="the real recordings are not on this machine")
def test_the_real_recordings_and_their_split():
    content = (real_recordings() / "labels.csv").read_bytes()
    labels = recording_labels.choose({"labels.csv": content}).of
    counts = collections.Counter((label.split, label.name) for label in labels.values())
    assert [counts["train", n] for n in CLASSES] == [3451, 516, 1643, 189]
    assert [counts["test", n] for n in CLASSES] == [432, 64, 205, 24]
    lengths = {row["record"]: int(row["samples"]) for row in csv.DictReader(io.StringIO(content.decode()))}
    archive = members(str(real_recordings() / "recordings.tar.xz"))
    files: dict[str, bytes] = {}
    stems: list[str] = []
    while len(stems) < 40:  # All headers come first.
        member = next(archive)
        files[member.path] = member.read()
        stems += [member.path[: -len(".mat")]] if member.path.endswith(".mat") else []
    for stem in stems:
        found = read_bytes(files[f"{stem}.mat"], files[f"{stem}.hea"], name=stem)
        expected = scipy.io.loadmat(io.BytesIO(files[f"{stem}.mat"]))["val"][0]
        np.testing.assert_array_equal(np.rint(1000 * found.samples), expected)
        assert len(found.samples) == lengths[stem] and labels[stem].name in CLASSES


def _patients(folder, header, rows):
    for n in range(24):
        write_pair(folder / f"x{n % 2}", f"r{n}", steps(2, n))
    (folder / "labels.csv").write_text("\n".join([header, *(rows(n) for n in range(24))]))


@pytest.mark.parametrize("column", ["group", "Patient", "person", "subject", "clip"])
def test_a_column_says_of_whom_recordings_are(tmp_path, column):
    _patients(tmp_path, f"record,label,{column}", lambda n: f"r{n},{'NA'[n % 2]},p{n // 3}")
    where = collections.defaultdict(set)
    for record in scan(str(tmp_path)).records:
        where[record.group].add(record.split)
    assert set(where) == {f"p{n}" for n in range(8)} and all(len(splits) == 1 for splits in where.values())
    assert {split for splits in where.values() for split in splits} == set(SPLITS)


def test_nobody_is_in_two_splits(tmp_path):
    _patients(tmp_path, "record,label,patient,split", lambda n: f"r{n},N,p{n // 3},{('train', 'test')[n // 4 % 2]}")
    with pytest.raises(DataError, match="p1 lies in the splits test and train; it may lie in one only"):
        scan(str(tmp_path))


def test_folders_say_of_whom_recordings_are_if_every_class_lies_in_three(tmp_path):
    for n in range(24):
        write_pair(tmp_path / f"patient{n // 3}", f"r{n}", steps(2, n))
    rows = [f"r{n},{'NA'[n % 2]}" for n in range(24)]
    (tmp_path / "labels.csv").write_text("\n".join(["record,label", *rows]))
    records = scan(str(tmp_path)).records
    assert len({record.group for record in records}) == 8
    assert len({(record.group, record.split) for record in records}) == 8
    # Folders that are the classes say nothing.
    rows = [f"r{n},{'NA'[n < 12]}" for n in range(24)]
    (tmp_path / "labels.csv").write_text("\n".join(["record,label", *rows]))
    assert len({record.group for record in scan(str(tmp_path)).records}) == 8
    rows = [f"r{n},{'NA'[n < 6]}" for n in range(24)]
    (tmp_path / "labels.csv").write_text("\n".join(["record,label", *rows]))
    assert {record.group for record in scan(str(tmp_path)).records} == {""}


@pytest.mark.parametrize("archive", [False, True])
def test_what_did_not_change_is_not_read_again(tmp_path, monkeypatch, archive):
    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path / "cache"))
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**11)
    place = challenge(tmp_path / "in")
    if archive:
        with tarfile.open(tmp_path / "in.tar", "w") as tar:
            tar.add(tmp_path / "in", "in")
    place = str(tmp_path / ("in.tar" if archive else "in"))
    first, read = scan(place), []
    monkeypatch.setattr(places, "_look", lambda member: read.append(member.path))
    assert scan(place) == first and read == []
