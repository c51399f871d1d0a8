"""Faces from folders of persons and tables of pairs: who lands where, which pairs count, and what is refused."""

import os

import numpy as np
import pytest
import tensorflow as tf

from components.evaluation.ecg_results import ingest
from components.kinds import registry
from components.kinds.faces import pairs, sample
from components.kinds.faces.source import FaceSource, SampleSource
from components.kinds.files import DataError
from models.records import faces as face_records
from models.records import pictures as picture_records
from tests.components.pictures_on_disk import encoded, noise


def write(root, persons, ending="png", seed=0):
    """Folders of persons: name -> number of pictures NAME_0001, ..."""
    for person, count in persons.items():
        (root / person).mkdir(parents=True)
        for n in range(count):
            seed += 1
            name = f"{os.path.basename(person)}_{n + 1:04}.{ending}"
            (root / person / name).write_bytes(encoded(noise(16, 14, seed), ending.replace("jpg", "jpeg")))
    return root


PEOPLE = {f"p{n}": 3 for n in range(12)} | {"single": 1}


def persons_of(source):
    """Split -> persons, of the files that are wanted."""
    return {s: {w.label_name for w in source._wanted if w.split == s} for s in picture_records.SPLITS}


def test_a_person_is_in_one_split_and_the_tests_persons_are_no_classes(tmp_path):
    source = FaceSource(str(write(tmp_path / "d", PEOPLE)))
    found = persons_of(source)
    assert sum(map(len, found.values())) == 13 == len(set.union(*found.values()))
    assert len(found["validation"]) >= 2 and len(found["test"]) >= 2 and source.facts["single"] == 1
    labels = {s: {w.label for w in source._wanted if w.split == s} for s in picture_records.SPLITS}
    assert labels["train"] == set(range(len(found["train"])))
    assert min(labels["test"] | labels["validation"]) == len(labels["train"])
    again = FaceSource(str(tmp_path / "d"))
    assert again.digest == source.digest and again._wanted == source._wanted and again._placed == source._placed
    write(tmp_path / "d", {"new": 2}, seed=500)
    assert FaceSource(str(tmp_path / "d")).digest != source.digest


def test_drawn_pairs_are_of_the_test_alone_and_balanced(tmp_path):
    source = FaceSource(str(write(tmp_path / "d", {f"p{n:02}": 4 for n in range(60)})))
    told = source.facts["pairs"]
    assert told["from"] == "drawn" and told["same"] == told["different"] > 10 and told["folds"] >= 2
    split, person = ({n: getattr(w, f) for n, w in enumerate(source._wanted)} for f in ("split", "label_name"))
    in_fold = {}
    for number, listed in source._placed.values():
        for second, same, fold in listed:
            assert split[number] == split[second] == "test" and number != second
            assert (person[number] == person[second]) == bool(same)
            assert {in_fold.setdefault(person[n], fold) for n in (number, second)} == {fold}


def table(root, rows, head="first,second,same"):
    (root / "pairs.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def test_persons_of_a_table_are_the_test(tmp_path):
    root = write(tmp_path / "d", PEOPLE)
    rows = [
        "p0/p0_0001.png,p0/p0_0002.png,1,3",
        "p0/p0_0001.png,p1/p1_0001.png,0,4",
        "p1/p1_0001.png,p1/p1_0003.png,1,4",
    ]
    source = FaceSource(str(table(root, rows, "first,second,same,fold")))
    assert persons_of(source)["test"] == {"p0", "p1"}
    assert source.facts["pairs"] == {"from": "pairs.csv", "same": 2, "different": 1, "folds": 2, "left_out": 0}
    by_path = FaceSource(str(root / "pairs.csv"))  # the table alone is given
    assert by_path._placed == source._placed and by_path.digest == source.digest
    number, listed = source._placed["p0/p0_0001.png"]
    numbers = {key: n for key, (n, _) in source._placed.items()}
    assert number == numbers["p0/p0_0001.png"]
    assert sorted(listed) == sorted([(numbers["p0/p0_0002.png"], 1, 3), (numbers["p1/p1_0001.png"], 0, 4)])


def test_a_table_of_everybody_is_dealt_by_person(tmp_path):
    root = write(tmp_path / "d", {f"p{n}": 3 for n in range(20)})
    rows = [f"p{n}/p{n}_0001.png,p{n}/p{n}_0002.png,1" for n in range(20)]
    rows += [f"p{n}/p{n}_0001.png,p{m}/p{m}_0003.png,0" for n in range(20) for m in range(n)]
    source = FaceSource(str(table(root, rows)))
    found, told = persons_of(source), source.facts["pairs"]
    count = len(found["test"])
    assert len(found["train"]) > 10 and count >= 2 and sum(map(len, found.values())) == 20
    assert (told["same"], told["different"]) == (count, count * (count - 1) // 2)
    assert told["left_out"] == len(rows) - told["same"] - told["different"] > 0


def test_pictures_of_a_table_without_folders_are_of_whom_the_pairs_say(tmp_path):
    tmp_path.joinpath("d").mkdir()
    names = [f"{n:02}{part}.png" for n in range(12) for part in "abc"]
    for seed, name in enumerate(names):
        (tmp_path / "d" / name).write_bytes(encoded(noise(16, 14, seed), "PNG"))
    rows = [f"{n:02}a.png,{n:02}{part}.png,1" for n in range(12) for part in "bc"]
    rows += [f"{n:02}b.png,{m:02}a.png,0" for n in range(12) for m in range(n)]
    source = FaceSource(str(table(tmp_path / "d", rows)))
    assert {len([w for w in source._wanted if w.label == k]) for k in range(12)} == {3}
    with pytest.raises(DataError, match=r"says of 00b.png and 00c.png that they are two persons, and by other pairs"):
        FaceSource(str(table(tmp_path / "d", [*rows, "00b.png,00c.png,0"])))
    (tmp_path / "d" / "other.png").write_bytes(encoded(noise(16, 14, 99), "PNG"))
    with pytest.raises(DataError, match=r"1 pictures lie in no person's folder \(other.png\)"):
        FaceSource(str(table(tmp_path / "d", rows)))


def test_lfws_own_table(tmp_path):
    root = write(tmp_path / "d", PEOPLE, "jpg")
    lines = ["2\t1", "p0\t1\t2", "p0\t1\tp1\t3", "p1\t1\t2", "p1\t2\tp2\t1"]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    source = FaceSource(str(root))
    assert source.facts["pairs"] == {"from": "pairs.txt", "same": 2, "different": 2, "folds": 2, "left_out": 0}
    assert persons_of(source)["test"] == {"p0", "p1", "p2"}
    numbers = {key: n for key, (n, _) in source._placed.items()}
    assert sorted(source._placed["p0/p0_0001.jpg"][1]) == sorted(
        [(numbers["p0/p0_0002.jpg"], 1, 0), (numbers["p1/p1_0003.jpg"], 0, 0)]
    )
    (root / "pairs.txt").write_text("4\np0 1 2\np0 1 p1 3\n")
    assert FaceSource(str(root)).facts["pairs"]["same"] == 1
    for text, said in (("p0 1 2", "line 1: wanted is 'FOLDS PAIRS'"), ("4\np0 1", "line 2: wanted is 'NAME N M'"),
                       ("4\np0 1 9", "line 2: there is no picture 'p0/p0_0009'")):  # fmt: skip
        (root / "pairs.txt").write_text(text)
        with pytest.raises(DataError, match=f"pairs.txt, {said}"):
            FaceSource(str(root))


def test_folders_for_splits_are_kept(tmp_path):
    root = write(tmp_path / "d", {f"train/p{n}": 2 for n in range(30)} | {f"verification/q{n}": 2 for n in range(3)})
    source = FaceSource(
        str(table(root, ["q0/q0_0001.png,q0/q0_0002.png,1", "verification/q1/q1_0001.png,q2/q2_0001,0"]))
    )
    found = persons_of(source)
    assert found["test"] == {"q0", "q1", "q2"} and len(found["validation"]) == 3 and len(found["train"]) == 27
    with pytest.raises(DataError, match="p3 is of a pair to be verified and lies in a folder for training"):
        FaceSource(str(table(root, ["p3/p3_0001.png,q0/q0_0002.png,0"])))


@pytest.mark.parametrize(
    ("people", "rows", "said"),
    [
        ({"train/Anna": 2, "test/anna": 2}, [], "lies in the splits test and train"),
        ({"Anna_B": 2, "anna b": 2, "C": 2}, [], "names a person twice: 'Anna_B' and 'anna b'"),
        ({f"p{n}": 1 for n in range(9)}, [], "no person has two pictures"),
        ({f"p{n}": 2 for n in range(5)} | {"s": 1}, [], "fewer than 2 persons with two pictures; of all there are 5"),
        (PEOPLE, ["p0/p0_0001.png,p0/gone.png,1"], "pairs.csv, line 2: there is no picture 'p0/gone.png'"),
        (PEOPLE, ["p0/p0_0001.png,p1/p1_0001.png,1"], "line 2: same is 1, but the pictures lie in the folders"),
        (PEOPLE, ["p0/p0_0001.png,p0/p0_0001.png,1"], "line 2: both are one picture"),
        (PEOPLE, ["p0/p0_0001.png,p0/p0_0002.png,maybe"], "line 2: same is 'maybe'; wanted is 1 or 0"),
        (PEOPLE, ["p0/p0_0001.png,p0/p0_0002.png"], "line 2: same is None; wanted is 1 or 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(tmp_path, people, rows, said):
    root = write(tmp_path / "d", people)
    if rows:
        table(root, rows)
    with pytest.raises(DataError) as error:
        FaceSource(str(root))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_tables_that_are_none(tmp_path):
    root = write(tmp_path / "d", PEOPLE)
    with pytest.raises(
        DataError, match="pairs.csv has no column 'same'; wanted are first, second, same and maybe fold"
    ):
        FaceSource(str(table(root, [], "first,second")))
    with pytest.raises(DataError, match="pairs.csv holds no pair"):
        FaceSource(str(table(root, [])))
    with pytest.raises(DataError, match="line 2: fold is 'x'; wanted is a whole number"):
        FaceSource(str(table(root, ["p0/p0_0001.png,p0/p0_0002.png,1,x"], "first,second,same,fold")))
    (root / "pairs.csv").write_bytes(b"first,second,same\n\xff\xfe,b,1\n")
    with pytest.raises(DataError, match="cannot be read"):
        FaceSource(str(root))
    (root / "pairs.txt").write_text("1\n")
    with pytest.raises(DataError, match="holds pairs.csv and pairs.txt; give the one that counts"):
        FaceSource(str(root))


def test_one_picture_of_two_persons_is_refused_and_of_one_is_one(tmp_path):
    root = write(tmp_path / "d", PEOPLE)
    (root / "p0" / "again.png").write_bytes((root / "p0" / "p0_0001.png").read_bytes())
    source = FaceSource(str(table(root, ["p0/p0_0001.png,p0/p0_0002.png,1", "p0/p0_0002.png,p1/p1_0001.png,0"])))
    assert [d["path"] for d in source.facts["duplicates"]] == ["p0/p0_0001.png"]  # the first path stays
    assert source.facts["pairs"]["same"] == 1 and "p0/again.png" in source._placed
    (root / "p1" / "stolen.png").write_bytes((root / "p0" / "p0_0001.png").read_bytes())
    with pytest.raises(DataError, match="1 pictures lie in the folders of two persons"):
        FaceSource(str(root))


def test_records_of_a_folder_hold_persons_and_pairs(tmp_path):
    root = write(tmp_path / "d", PEOPLE)
    (root / "p5" / "broken.png").write_bytes(b"no picture")
    files = ingest("face_folders", str(root), tmp_path / "out", max_unreadable=0.1)
    seen, listed = {}, 0
    for split, paths in files.items():
        for record in picture_records.records(paths):
            features = picture_records.parse(record)
            more = face_records.parse(record[None])
            name, number = features[picture_records.LABEL_NAME].numpy(), int(more["number"])
            assert seen.setdefault(name, (split, int(features[picture_records.LABEL])))[0] == split
            found = [row for row in more["pairs"].numpy()[0].tolist() if row[0] >= 0]
            assert all(row[0] != number and row[1] in (0, 1) and row[2] >= 0 for row in found)
            listed += len(found)
            assert split == "test" or not found
    assert listed > 2 and len(seen) == 13


def test_the_sample_is_simulated_and_the_same_each_time():
    source = SampleSource()
    assert source.facts["simulated"] and sum(source.facts["persons"].values()) == sample.PERSONS
    pixels = [tf.io.decode_png(sample.encoded(*key)).numpy() for key in ((3, 0), (3, 0), (3, 1), (4, 0))]
    assert np.array_equal(pixels[0], pixels[1]) and pixels[0].shape == (sample.SIDE, sample.SIDE, 3)
    assert not np.array_equal(pixels[0], pixels[2]) and not np.array_equal(pixels[0], pixels[3])


def test_the_kind_knows_its_places(tmp_path):
    kind = registry.get("faces")
    assert kind.default_dataset("", False) == "sample_faces" and kind.default_dataset("/d", False) == "face_folders"
    assert kind.default_dataset("/d/pairs.csv", False) == "face_pairs" and not kind.reads_file("/d")
    with pytest.raises(DataError, match="goes with the data sets face_folders and face_pairs, not with 'sample_faces'"):
        kind.open("sample_faces", str(tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        kind.open("face_folders", str(tmp_path / "none"))
    assert pairs.TABLES == ("pairs.csv", "pairs.txt")
