"""Labelled pictures through the one door: digits, class folders, packed files, sets of TFDS; and what is refused."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from tfx.types import artifact_utils, standard_artifacts

from components.ingest import example_gen, sources
from components.kinds.files import DataError
from components.kinds.pictures.tfds_source import CatalogueSource
from models.records import pictures as picture_records
from tests.models.kinds import photograph


def ingest(tmp_path, dataset, folder="", labelled=True):
    """Runs the ingest; returns {split: [(id, label, name, pixels)]} and its report."""
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    digest = sources.dataset_digest(dataset, str(folder), labelled=True)
    properties = {"dataset": dataset, "folder": str(folder), "digest": digest, "max_unreadable": 0.5}
    properties["labelled"] = int(labelled)
    example_gen.Executor().Do({}, {"examples": [examples]}, properties)
    found = {}
    for split in artifact_utils.decode_split_names(examples.split_names):
        folder = os.path.join(examples.uri, f"Split-{split}")
        parsed = [
            picture_records.parse(r)
            for r in picture_records.records([os.path.join(folder, f) for f in sorted(os.listdir(folder))])
        ]
        found[split] = [
            (p[picture_records.ID].numpy().decode(), int(p[picture_records.LABEL]),
             p[picture_records.LABEL_NAME].numpy().decode(), picture_records.decode(p[picture_records.ENCODED]).numpy())
            for p in parsed
        ]  # fmt: skip
    return found, json.loads((tmp_path / "examples" / example_gen.REPORT_FILE).read_text())


@pytest.mark.slow
def test_digits_need_no_network(tmp_path):
    from sklearn import datasets

    found, report = ingest(tmp_path, "digits")
    assert {s: len(v) > 100 for s, v in found.items()} == dict.fromkeys(picture_records.SPLITS, True)
    everything = [e for split in found.values() for e in split]
    assert len(everything) == 1797 and report["unreadable"] == []
    digits = datasets.load_digits()
    for key, label, name, pixels in everything[::50]:
        n = int(key.rpartition("__")[2]) if "__" in key else None
        assert name == str(label) and pixels.shape == (8, 8, 3)
        same = np.flatnonzero((np.round(digits.images * 255 / 16) == pixels[..., 0]).all((1, 2)))
        assert label in digits.target[same] and (n is None or n >= 0)
    assert sorted(np.bincount([e[1] for e in everything])) == sorted(np.bincount(digits.target))


def folders(root, **classes):
    """A folder of class folders: name -> number of pictures."""
    offset = 0
    for name, count in classes.items():
        (root / name / "deeper").mkdir(parents=True)
        for n in range(count):
            offset += 3
            Image.fromarray(photograph(12, 10, offset)).save(root / name / ("deeper" if n % 2 else "") / f"{n}.png")
    return root


def test_class_folders_give_their_names(tmp_path):
    root = folders(tmp_path / "pictures", cat=5, ant=4)
    (root / "cat" / "broken.png").write_bytes(b"no picture")
    found, report = ingest(tmp_path, "class_folders", root)
    everything = [e for split in found.values() for e in split]
    assert sorted((e[1], e[2]) for e in everything) == [(0, "ant")] * 4 + [(1, "cat")] * 5
    assert all(e[0].startswith(e[2] + "/") for e in everything)
    assert [u["path"] for u in report["unreadable"]] == ["cat/broken.png"]


def test_a_class_that_cannot_be_read_is_told_before_training(tmp_path):
    root = folders(tmp_path / "pictures", cat=5, ant=4, bee=1)
    (root / "bee" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"to train with of 1 of the classes: bee \(none can be read\)"):
        ingest(tmp_path, "class_folders", root)
    (tmp_path / "unlabelled").mkdir()
    _, report = ingest(tmp_path / "unlabelled", "class_folders", root, labelled=False)
    assert "bee" not in report["classes"]["train"] and sum(report["classes"]["train"].values()) == 5


def test_lending_leaves_every_class_one_to_train_with(tmp_path):
    found, report = ingest(tmp_path, "class_folders", folders(tmp_path / "pictures", cat=1, ant=1, dog=2, fox=2))
    assert {name for _, _, name, _ in found["train"]} == {"cat", "ant", "dog", "fox"}
    assert {name for split in ("validation", "test") for _, _, name, _ in found[split]} == {"dog", "fox"}
    assert report["classes"]["train"] == dict.fromkeys(("ant", "cat", "dog", "fox"), 1)


def test_folders_that_say_no_class_are_refused(tmp_path):
    root = folders(tmp_path / "one", cat=2)
    with pytest.raises(DataError, match="holds one class folder \\(cat\\)"):
        sources.open_source("class_folders", str(root))
    folders(root, ant=1)
    (root / "loose.png").write_bytes((root / "cat" / "0.png").read_bytes()[:-1])
    with pytest.raises(DataError, match="is no folder of class folders: 1 pictures lie beside them \\(loose.png\\)"):
        sources.open_source("class_folders", str(root))
    (root / "loose.png").unlink()
    (root / "ant" / "again.png").write_bytes((root / "cat" / "0.png").read_bytes())
    with pytest.raises(DataError, match="1 pictures lie in two classes at once"):
        sources.open_source("class_folders", str(root))
    with pytest.raises(DataError, match="have no classes, which this recipe needs"):
        sources.dataset_digest("sample_photos", labelled=True)


def packed(path, **changes):
    """A packed file of two splits, of pictures and of differences."""
    x = np.stack([photograph(8, 8, 4 * n) for n in range(30)])
    green = x[20:].copy()
    green[..., ::2] -= green[..., 1:2]
    diff = np.diff(np.diff(green.transpose(3, 0, 1, 2), axis=2, prepend=0), axis=3, prepend=0).astype("u1")
    arrays = {"train_image": x[:20], "train_label": np.arange(20) % 3, "test_diff": diff,
              "test_label": np.arange(10) % 3, "names": np.array(["a", "b", "c"])}  # fmt: skip
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez_compressed(path, **arrays)
    return x


def test_packed_files_keep_their_splits_and_pixels(tmp_path):
    x = packed(tmp_path / "set.npz")
    found, report = ingest(tmp_path, "packed", tmp_path / "set.npz")
    assert len(found["test"]) == 10 and len(found["train"]) + len(found["validation"]) == 20
    originals = {p.tobytes() for p in x}
    for split in found.values():
        for _, label, name, pixels in split:
            assert pixels.tobytes() in originals and name == "abc"[label]
    pictures = {p[3].tobytes() for p in found["test"]}
    assert pictures == {p.tobytes() for p in x[20:]}
    assert report["source_splits"]["train"] == ["train", "validation"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"names": None}, "not a packed set; it holds test_diff"),
        ({"train_label": np.arange(20)}, "labels of train reach from 0 to 19, with 3 names"),
        ({"test_label": np.zeros(3, int)}, r"test has pictures \(10, 8, 8, 3\) uint8 and labels \(3,\)"),
    ],
)
def test_packed_files_that_do_not_fit_are_refused(tmp_path, changes, message):
    packed(tmp_path / "set.npz", **changes)
    with pytest.raises(DataError, match=message):
        sources.open_source("packed", str(tmp_path / "set.npz"))


def test_other_files_are_no_packed_sets(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"nothing of the kind")
    for path in (tmp_path / "set.npz", tmp_path / "missing.npz"):
        with pytest.raises(DataError, match="cannot be read as an .npz file"):
            sources.open_source("packed", str(path))


def test_the_catalogue_says_which_feature_is_the_class():
    assert len(CatalogueSource("cifar100").labels) == 100
    assert CatalogueSource("cifar10").digest.endswith("#image+label")
    assert CatalogueSource("sample_photos").labels == []
