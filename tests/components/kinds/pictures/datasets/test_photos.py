"""The folder of a user's own pictures: what is found, which split it falls into, what TFDS makes of it."""

import hashlib
import json
import os
import pathlib
import tempfile

import pytest
import tensorflow_datasets as tfds

from components.kinds.files import DataError
from components.kinds.pictures.beam import ReadPicture, Wanted
from components.kinds.pictures.datasets.photos import photos_dataset_builder as photos
from components.kinds.pictures.folders import files_by_split, scan
from components.kinds.splits import split_of
from components.kinds.unreadable import REPORT_FILE, UNREADABLE, check_unreadable
from tests.components.pictures_on_disk import encoded, fill, noise

_FOLDER = pathlib.Path(tempfile.mkdtemp())
fill(_FOLDER / "2024" / "summer", 40)
(_FOLDER / "copy of 003.png").write_bytes((_FOLDER / "2024" / "summer" / "003.png").read_bytes())
(_FOLDER / "z.webp").write_bytes(encoded(noise(11, 13, 99), "WEBP"))
(_FOLDER / "notes.txt").write_text("not a picture")


def _splits(folder: pathlib.Path) -> dict[str, str]:
    """{digest: split} of a folder."""
    files = files_by_split(scan(str(folder)))
    return {file.digest: split for split, members in files.items() for file in members}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class PhotosBuilderTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = photos.Builder
    EXAMPLE_DIR = str(_FOLDER)
    SPLITS = {name: list(_splits(_FOLDER).values()).count(name) for name in ("train", "validation", "test")}


def test_shares_are_near_80_10_10_and_depend_on_the_content_alone():
    digests = [_sha256(b"%d" % seed) for seed in range(5000)]
    counts = {name: sum(split_of(digest) == name for digest in digests) for name in ("train", "validation", "test")}
    assert counts["train"] == pytest.approx(4000, abs=150)
    assert counts["validation"] == pytest.approx(500, abs=100) and counts["test"] == pytest.approx(500, abs=100)
    assert split_of("f" * 64) == "test" and split_of("0" * 64) == "train"


def test_a_picture_keeps_its_split_when_files_are_added_removed_or_renamed(tmp_path):
    fill(tmp_path, 30)
    before = _splits(tmp_path)
    fill(tmp_path / "more", 30, first=100)
    os.rename(tmp_path / "001.png", tmp_path / "renamed.PNG")
    os.remove(tmp_path / "002.png")
    after = _splits(tmp_path)
    assert len(before) == 30 and len(after) == 59
    assert all(after[digest] == split for digest, split in before.items() if digest in after)
    assert len(set(before) & set(after)) == 29


def test_the_digest_notices_new_changed_and_renamed_files_and_nothing_else(tmp_path):
    fill(tmp_path, 3)
    digests = [scan(str(tmp_path)).digest]
    fill(tmp_path, 1, first=50)
    digests.append(scan(str(tmp_path)).digest)
    (tmp_path / "000.png").write_bytes(encoded(noise(12, 14, 77), "PNG"))
    digests.append(scan(str(tmp_path)).digest)
    os.rename(tmp_path / "001.png", tmp_path / "a.png")
    digests.append(scan(str(tmp_path)).digest)
    assert len(set(digests)) == 4
    (tmp_path / "notes.txt").write_text("no picture")
    os.utime(tmp_path / "a.png", (1, 1))
    assert scan(str(tmp_path)).digest == digests[-1]


def test_scan_tells_what_it_leaves_out(tmp_path):
    fill(tmp_path / "a", 2)
    (tmp_path / "b.JPG").write_bytes(encoded(noise(9, 9, 5), "JPEG"))
    (tmp_path / "z.png").write_bytes((tmp_path / "a" / "001.png").read_bytes())
    (tmp_path / "empty.bmp").touch()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "raw.CR2").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / ".thumbnails").mkdir()
    fill(tmp_path / ".thumbnails", 3)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "linked.png").symlink_to(tmp_path / "b.JPG")
    found = scan(str(tmp_path))
    assert [file.path for file in found.pictures] == ["a/000.png", "a/001.png", "b.JPG"]
    assert found.duplicates == [
        {"path": "linked.png", "same_as": "b.JPG"},
        {"path": "z.png", "same_as": "a/001.png"},
    ]
    assert [entry["path"] for entry in found.unreadable] == ["empty.bmp", "gone.png"]
    assert "empty" in found.unreadable[0]["reason"] and "No such file" in found.unreadable[1]["reason"]
    assert found.ignored == {".cr2": 1, ".txt": 1, "hidden": 2, "linked folder": 1}


def test_names_that_are_no_text_are_read(tmp_path):
    fill(tmp_path, 1)
    os.rename(os.fsencode(tmp_path / "000.png"), os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.png")
    found = scan(str(tmp_path))
    assert found.digest and not found.unreadable
    (read,) = ReadPicture(str(tmp_path)).process(Wanted(os.fsencode(found.pictures[0].path), "train"))
    key, example = read.value
    assert key == "caf\\xe9 é.png" and example["width"] == 14


@pytest.mark.parametrize("make", ["missing", "file", "empty", "others", "unopened", ""])
def test_a_wrong_folder_is_one_clear_line(tmp_path, make):
    folder = tmp_path / make
    expected = {"missing": "does not exist", "file": "is a file", "": "holds nothing|does not exist"}
    if make == "file":
        folder.write_text("x")
    elif make != "missing":
        folder.mkdir(exist_ok=True)
    if make == "others":
        (folder / "a.heic").touch()
    if make == "unopened":
        (folder / "a.png").touch()
    expected |= {"empty": "holds nothing", "others": "holds 1 .heic", "unopened": "a.png: the file is empty"}
    with pytest.raises(DataError, match=expected[make]) as caught:
        scan(str(folder) if make else "")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_unreadable_files_are_listed_beside_the_data_or_stop_it(tmp_path):
    fill(tmp_path / "in", 40)
    for split in ("train", "test"):  # One damaged file for each of two splits.
        seed = next(s for s in range(99) if split_of(_sha256(b"no picture %d" % s)) == split)
        (tmp_path / "in" / f"bad_{split}.png").write_bytes(b"no picture %d" % seed)
    config = dict(name="holidays", folder=str(tmp_path / "in"))
    builder = tfds.builder(
        "photos", data_dir=tmp_path / "ok", config=photos.PhotosConfig(**config, max_unreadable=0.05)
    )
    builder.download_and_prepare()
    listed = json.loads((builder.data_path / REPORT_FILE).read_text())
    assert [entry["path"] for entry in listed] == ["bad_test.png", "bad_train.png"]
    assert all("not a PNG" in entry["reason"] for entry in listed)
    assert builder.info.splits.total_num_examples == 40
    strict = tfds.builder("photos", data_dir=tmp_path / "no", config=photos.PhotosConfig(**config))
    with pytest.raises(Exception, match="2 of 42 pictures cannot be read.*bad_test.png: not a PNG"):
        strict.download_and_prepare()
    assert not list((tmp_path / "no").glob("photos/*/1.0.0"))


def test_max_unreadable_is_a_share_of_all_files():
    one = [{"path": "a.png", "reason": "damaged"}]
    check_unreadable(one, 99, 0.01)
    check_unreadable([], 0, 0.0)
    with pytest.raises(DataError, match="1 of 99 pictures"):
        check_unreadable(one, 98, 0.01)
    with pytest.raises(DataError, match="and 2 more"):
        check_unreadable(one * 7, 8, 0.1)


@pytest.mark.parametrize("what, step", [("image data", 40), ("checksum", -14)])
def test_a_picture_with_one_flipped_byte_is_unreadable(tmp_path, what, step):
    good = encoded(noise(12, 14), "PNG")
    place = good.index(b"IDAT") + step if step > 0 else len(good) + step
    (tmp_path / "a.png").write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
    (refused,) = ReadPicture(str(tmp_path)).process(Wanted(b"a.png", "train"))
    assert refused.tag == UNREADABLE and refused.value["reason"].startswith("damaged picture")
    (tmp_path / "a.png").write_bytes(good)
    (read,) = ReadPicture(str(tmp_path)).process(Wanted(b"a.png", "train"))
    assert read.tag == "train" and read.value[0] == "a.png"
