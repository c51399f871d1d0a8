"""Scenes of folders and of the sample: which map goes with which picture, what levels mean, what is refused."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.kinds import registry
from components.kinds.files import DataError
from components.kinds.pictures.folders import scan
from components.kinds.pictures.pictures import PictureError
from components.kinds.scenes import places, sample
from components.kinds.scenes.source import SampleSource, SceneSource, _ReadScene, _simulated, levels_of
from components.kinds.unreadable import UNREADABLE
from models.records import scenes as scene_records
from models.records.pictures import SPLITS

KIND = registry.get("scenes")


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def picture(seed: int, size=(6, 8)) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8))


def label_map(*levels: int, size=(6, 8)) -> bytes:
    return png(np.resize(np.array(levels, np.uint8), size))


@pytest.mark.parametrize(("picture_name", "map_name", "split"), [
    ("images/{}.jpg", "masks/{}.png", ""), ("train/{}.png", "train_labels/{}.png", "train"),
    ("val/images/{}.png", "val/masks/{}.png", "validation"), ("{}.png", "annotations/{}.png", ""),
])  # fmt: skip
def test_maps_are_found_by_their_places(tmp_path, picture_name, map_name, split):
    files = {picture_name.format(n): picture(n) for n in range(3)} | {
        map_name.format(n): label_map(0, 1) for n in (0, 2)
    }
    folder = write(tmp_path, files)  # two maps of one content: both count
    pairs, alone = places.pairs_of(folder, scan(folder))
    assert [(p.picture, p.label_map, p.split) for p in pairs] == [
        (picture_name.format(n), map_name.format(n), split) for n in (0, 2)
    ]
    assert alone == [picture_name.format(1)]


def test_levels_are_the_names_of_a_file_or_numbers(tmp_path):
    assert places.classes_of(str(tmp_path), [0, 1, 255]).names == ("0", "1")
    assert places.classes_of(str(tmp_path), [2, 255]).of_level[:4] == (0, 1, 2, scene_records.VOID)
    (tmp_path / "classes.txt").write_text("sky\nVoid\nroad\n\n")
    names, of_level = places.classes_of(str(tmp_path), [])
    assert names == ("sky", "road") and of_level[:4] == (0, 255, 1, 255) and len(of_level) == 256


def test_a_folder_becomes_records(tmp_path):
    files = {
        f"{split}/images/{n}.png": picture(100 * k + n) for k, split in enumerate(("train", "test")) for n in range(9)
    }
    files |= {name.replace("images", "masks"): label_map(0, 1, 2, 1) for name in files}
    files |= {f"train/images/{n}.png": picture(n) for n in (90, 91)} | {"classes.txt": b"sky\nroad\nvoid\n"}
    files |= {"train/masks/90.png": label_map(1, size=(5, 8)), "train/masks/91.png": png(np.zeros((6, 8, 3), np.uint8))}
    source = KIND.open("scene_folders", write(tmp_path, files))
    assert isinstance(source, SceneSource) and source.facts["names"] == ["sky", "road"] and source.labels == []
    found = [item for wanted in source._wanted for item in _ReadScene(str(tmp_path), source._classes).process(wanted)]
    by_tag = {tag: [item.value for item in found if item.tag == tag] for tag in (*SPLITS, UNREADABLE)}
    assert len(by_tag["test"]) == 9 and len(by_tag["train"]) + len(by_tag["validation"]) == 9 and by_tag["train"]
    assert {(e["path"], e["reason"].partition(",")[0]) for e in by_tag[UNREADABLE]} == {
        ("train/masks/90.png", "its 8x5 pixels are not those of its picture"),
        ("train/masks/91.png", "a label map has one level of 8 bits a pixel"),
    }
    record = KIND.records.build(*by_tag["test"][0])
    features = scene_records.parse(tf.constant(record.SerializeToString()))
    labels = scene_records.decode_map(features[scene_records.LABEL_MAP]).numpy()
    assert np.array_equal(labels, np.resize(np.array([0, 1, 255, 1], np.uint8), (6, 8)))
    assert features[scene_records.CLASS_NAMES] == b'["sky", "road"]'
    assert record.features.feature[scene_records.SEEN].int64_list.value == [2]
    assert record.features.feature[scene_records.VOID_PIXELS].int64_list.value == [12]
    assert set(KIND.records.side_features) <= set(record.features.feature)
    before = source.digest
    (tmp_path / "classes.txt").write_text("air\nroad\nvoid\n")
    assert SceneSource(str(tmp_path)).digest != before


def test_palettes_are_read_by_their_indices():
    image = Image.fromarray(np.array([[0, 3], [255, 1]], np.uint8), "P")
    image.putpalette([7 * n % 256 for n in range(768)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert levels_of(buffer.getvalue()).tolist() == [[0, 3], [255, 1]]
    for damaged in (buffer.getvalue()[:40], b"no picture", png(np.zeros((2, 2, 4), np.uint8))):
        with pytest.raises(PictureError):
            levels_of(damaged)


def test_what_cannot_be_used_is_one_line(tmp_path):
    folder = write(tmp_path / "a", {"images/1.png": picture(1), "masks/2.png": label_map(0, 1)})
    with pytest.raises(DataError, match="holds no picture with a label map: wanted are images/NAME"):
        SceneSource(folder)
    twice = {"images/1.png": picture(1), "masks/1.png": label_map(0, 1), "labels/1.png": label_map(1, 0)}
    with pytest.raises(DataError, match="are label maps of one picture; keep one"):
        SceneSource(write(tmp_path / "b", twice))
    with pytest.raises(DataError, match="1 classes; wanted are 2 to 255"):
        SceneSource(write(tmp_path / "c", {"images/1.png": picture(1), "masks/1.png": label_map(0)}))
    for text in ("sky\nsky\n", "sky\n\nroad\n"):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(DataError, match="wanted is a name a line, each once"):
            places.classes_of(str(tmp_path), [])
    with pytest.raises(DataError, match="goes with the data set scene_folders"):
        KIND.open("sample_shapes", os.fspath(tmp_path))


def test_simulated_scenes_say_exactly_what_is_where():
    assert isinstance(KIND.open("sample_shapes"), SampleSource) and SampleSource().facts["simulated"]
    assert KIND.default_dataset("", False) == "sample_shapes" and KIND.default_dataset("x", False) == "scene_folders"
    (item,) = _simulated(3)
    key, example = item.value
    assert item.tag in SPLITS and key == "shapes 0003" and example["class_names"] == list(sample.NAMES)
    assert np.array_equal(sample.scene(3).label_map, example["label_map"])
    seen = set()
    for number in range(24):
        pixels, labels = sample.scene(number)
        assert pixels.shape == (sample.HEIGHT, sample.WIDTH, 3) and labels.shape == pixels.shape[:2]
        seen |= set(np.unique(labels))
    assert seen == set(range(len(sample.NAMES)))
    pixels, labels = sample.scene(3)
    spread = [pixels[labels == place].std(0).mean() for place in np.unique(labels)[1:]]
    assert min(spread) < pixels.std((0, 1)).mean()  # a shape has one colour
