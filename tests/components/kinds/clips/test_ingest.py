"""A folder of clips through the real first step of a pipeline."""

import json

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.ingest.example_gen import REPORT_FILE, Executor
from components.ingest.sources import dataset_digest
from components.kinds.clips.places import open_clip
from components.kinds.files import DataError
from models.records import clips as clip_records
from models.records.pictures import SPLITS
from tests.components.clips_on_disk import small, write_clip


def test_a_folder_of_clips_is_ingested(tmp_path):
    folder, places = tmp_path / "clips", []
    for number, split in enumerate((*SPLITS, "train")):
        (folder / split).mkdir(parents=True, exist_ok=True)
        places.append(folder / split / f"{number}.mkv")
        write_clip(places[-1], small(13, 24, 32, 40 * number), "ffv1", audio=number == 1)
    (folder / "train" / "broken.mp4").write_text("no clip")
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    digest = dataset_digest("clips", str(folder), noun="clips")
    options = {"dataset": "clips", "folder": str(folder), "digest": digest, "max_unreadable": 0.0}
    with pytest.raises(DataError, match="1 of 5 clips cannot be read.*broken.mp4: cannot be opened"):
        Executor(Executor.Context(list(LOCAL_BEAM))).Do({}, {"examples": [examples]}, options)
    Executor(Executor.Context(list(LOCAL_BEAM))).Do({}, {"examples": [examples]}, options | {"max_unreadable": 0.5})
    report = json.loads((tmp_path / "examples" / REPORT_FILE).read_text())
    counts = report["splits"]
    assert sum(report["sources"].values()) == 5 and not report["lent"] and report["formats"] == {"mkv/ffv1": 4}
    assert [sum(found[name] for found in counts.values()) for name in ("clips", "frames")] == [4, 4 * 12]
    originals = [next(open_clip(place).frames()) for place in places]
    seen = 0
    for split in SPLITS:
        files = [str(path) for path in (tmp_path / "examples" / f"Split-{split}").glob("*.gz")]
        for frames in clip_records.frames(files).as_numpy_iterator():
            assert frames.shape == (12, 24, 32, 3)
            seen += any(np.array_equal(frames[0], original) for original in originals)
    assert seen == 4
