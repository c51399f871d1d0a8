"""Clips of folders and of the sample: which are found, how they are split, which runs of frames become records."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.kinds import registry
from components.kinds.clips import places, source
from components.kinds.clips.source import RUN, ClipSource, SampleSource, _ReadClip, runs
from components.kinds.files import DataError
from components.kinds.unreadable import UNREADABLE
from models.records import clips as clip_records
from models.records.pictures import SPLITS
from tests.components.clips_on_disk import small, write_clip
from tests.models.examples import clip_record, write_records

KIND = registry.get("clips")


def _frames(folder, frames):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"f{number}.png")


def test_files_and_folders_of_frames_are_found(tmp_path):
    (tmp_path / "train").mkdir()
    write_clip(tmp_path / "train" / "a.mkv", small(3), "ffv1")
    (tmp_path / "b.mkv").write_bytes((tmp_path / "train" / "a.mkv").read_bytes())
    _frames(tmp_path / "test" / "runner", small(4))
    _frames(tmp_path / "poster", small(1))
    (tmp_path / "train" / "notes.txt").write_text("")
    (tmp_path / ".hidden.mp4").write_bytes(b"")
    found = places.scan(str(tmp_path))
    assert {clip.path for clip in found.clips} == {"b.mkv", "test/runner"}
    assert found.duplicates == [{"path": "train/a.mkv", "same_as": "b.mkv"}] and not found.unreadable
    assert found.ignored == {".txt": 1, "hidden": 1, "single picture": 1}
    before = found.digest
    Image.fromarray(small(1)[0]).save(tmp_path / "test" / "runner" / "f9.png")
    assert places.scan(str(tmp_path)).digest != before


def test_a_clip_lies_whole_in_one_split_and_folders_can_name_it(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.y4m").write_bytes(b"YUV4MPEG2 W2 H2\n" + bytes([number]))
    dealt = ClipSource(str(tmp_path))._wanted
    assert sorted(split for _, split, _ in dealt) == ["test", "train", "train", "train", "train", "validation"]
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    for number in range(6):
        (tmp_path / f"{number}.y4m").rename(tmp_path / ("test" if number < 2 else "train") / f"{number}.y4m")
    by_path = {path: split for path, split, _ in ClipSource(str(tmp_path))._wanted}
    assert {split for path, split in by_path.items() if path.startswith(b"test")} == {"test"}
    assert {split for path, split in by_path.items() if path.startswith(b"train")} == {"train", "validation"}


def test_a_folder_becomes_records(tmp_path):
    path = write_clip(tmp_path / "a.mkv", small(2 * RUN + RUN // 2), "ffv1")
    broken = write_clip(tmp_path / "b.mkv", small(RUN + 11, offset=80), "ffv1")
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 17 // 20])
    (tmp_path / "c.mp4").write_text("no clip")
    found = [e for wanted in ClipSource(str(tmp_path))._wanted for e in _ReadClip(str(tmp_path)).process(wanted)]
    by_tag = {tag: [item.value for item in found if item.tag == tag] for tag in (*SPLITS, UNREADABLE)}
    pairs = sorted(pair for name in SPLITS for pair in by_tag[name])
    assert [key for key, _ in pairs] == ["a.mkv/0", "a.mkv/12", "a.mkv/24", "b.mkv/0", "b.mkv/12"]
    assert [len(example["frames"]) for _, example in pairs][:4] == [RUN, RUN, RUN // 2, RUN]
    assert [(entry["path"], entry["reason"].split(" ")[0]) for entry in by_tag[UNREADABLE]] == [
        ("b.mkv", "breaks"),
        ("c.mp4", "cannot"),
    ]
    assert by_tag[UNREADABLE][0]["reason"].endswith("what is before is used")
    record = KIND.records.build(*pairs[1])
    parsed = clip_records.parse(tf.constant(record.SerializeToString()))
    with places.open_clip(path) as clip:
        assert np.array_equal(clip_records.decode(parsed[clip_records.FRAMES]), list(clip.frames())[12:24])
    assert parsed[clip_records.NAME] == b"a.mkv" and int(parsed[clip_records.START]) == 12
    assert parsed[clip_records.FORMAT] == b"mkv/ffv1" and KIND.count(record)["frames"] == RUN
    assert set(KIND.records.side_features) <= set(record.features.feature)


def test_of_a_long_clip_runs_are_taken_evenly_and_one_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MOST_RUNS", 3)
    made = []

    class Long:
        about = places.open_clip(write_clip(tmp_path / "a.y4m", small(2), "wrapped_avframe")).about._replace(
            frames=9 * RUN
        )

        def frames(self):
            for number in range(9 * RUN):
                made.append(number)
                yield np.full((48, 64, 3), number, np.uint8)

    starts = []
    for example in runs(Long(), "long", 9000):
        assert made[-1] == example["start"] + RUN - 1  # nothing behind it was read
        starts.append(example["start"])
    assert starts == [0, 3 * RUN, 6 * RUN] and example["bytes"] == 1000
    Long.about = Long.about._replace(frames=0)  # it does not say how long it is
    assert [example["start"] for example in runs(Long(), "long", 9000)] == [0, RUN, 2 * RUN]


def test_what_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        ClipSource(str(tmp_path / "none"))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"no clip in .*: wanted are .mp4.* \(it holds 1 .txt\)"):
        ClipSource(str(tmp_path))
    with pytest.raises(DataError, match="goes with the data set clips, not with 'sample_clips'"):
        KIND.open("sample_clips", str(tmp_path))
    assert KIND.default_dataset("", False) == "sample_clips" and KIND.default_dataset("x", False) == "clips"


def test_the_sample_are_three_real_clips():
    sample = SampleSource()
    assert sample.facts["sources"] == dict.fromkeys(SPLITS, 1) and not sample.facts.get("simulated")
    reader = _ReadClip(source.sample_folder())
    found = [item for item in reader.process((b"carphone_pristine.mp4", "validation", 588804, 0, 30))]
    assert [len(item.value[1]["frames"]) for item in found] == [12, 12, 6]
    (first, *_) = reader.process((b"bigbuckbunny.mp4", "train", 1055736, 2, 12))
    assert (first.value[1]["height"], first.value[1]["width"]) == (180, 320)


def test_the_warm_up_is_a_short_run(tmp_path):
    runs_of = [small(5, 40, 48), small(2, 16, 16)]
    path = write_records(tmp_path / "a.gz", [clip_record(run, f"{n}") for n, run in enumerate(runs_of)])
    inputs = KIND.warm_up([path])
    assert np.array_equal(inputs["frames"], runs_of[0][:3]) and clip_records.parse(tf.constant(inputs["examples"]))
