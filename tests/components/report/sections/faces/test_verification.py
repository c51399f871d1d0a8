"""The report of a network for faces, from a real tiny model: what is measured, drawn and said."""

import json

import numpy as np
import pytest

from components.evaluation.aggregates.verification import Verification
from components.report import page
from components.report.sections.faces import verification
from components.serving.served_faces import ServedFaces
from models.records import pictures as picture_records
from tests.components import untrained_faces
from tests.models.examples import photograph, picture_record, write_records


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a model, record files, and their measurement."""
    root = tmp_path_factory.mktemp("faces")
    untrained_faces.save(root / "model")
    files = untrained_faces.records(root / "r.gz")
    return root / "model", files, json.loads(json.dumps(verification.measure(str(root / "model"), files)))


def test_figures_are_those_of_the_evaluation(run):
    folder, files, measured = run
    records = [r.numpy() for r in picture_records.records(files)]
    answers = ServedFaces(folder).evaluate(records)
    for name, triple in measured["figures"].items():
        expected = [Verification(figure=name, end=end).of(answers) for end in ("", "low", "high")]
        np.testing.assert_allclose(triple, expected, atol=1e-9)
    assert measured["genuine"] == 18 and measured["impostors"] == 135 and measured["listed"] == 17
    assert sum(measured["histogram"]["genuine"]) == 18 and sum(measured["histogram"]["impostors"]) == 135
    assert measured["tar"]["1e-1"][0] is not None and measured["tar"]["1e-3"] == [None, None, None]


def test_the_worst_pairs_are_the_worst(run):
    folder, files, measured = run
    records = [r.numpy() for r in picture_records.records(files)]
    vectors = ServedFaces(folder).evaluate(records)["embedding"]
    persons = np.repeat(np.arange(6), 3)
    cosines = vectors @ vectors.T
    same = persons[:, None] == persons
    off = ~np.eye(18, dtype=bool)
    genuine = [pair for pair in measured["wrong"] if pair["same"]]
    impostors = [pair for pair in measured["wrong"] if not pair["same"]]
    assert genuine[0]["cosine"] == pytest.approx(cosines[same & off].min(), abs=1e-5)
    assert impostors[0]["cosine"] == pytest.approx(cosines[~same].max(), abs=1e-5)
    assert len(genuine) == 4 and len(impostors) == 3  # of six persons there are three pairs without one twice
    assert all(uri.startswith("data:image/png;base64,") for pair in measured["wrong"] for uri in pair["pictures"])


def test_the_page_says_what_the_model_is_for(run):
    ingest = {"dataset": "sample_faces", "simulated": True, "persons": {"train": 3, "validation": 3, "test": 6},
              "pairs": {"from": "pairs.csv", "left_out": 5},
              "splits": {"test": {"faces": 18, "bytes": 1, "pixels": 1}}}  # fmt: skip
    data = {"recipe": "face", "sections": {"verification": run[2]}, "ingest": ingest, "noun": "faces",
            "config": [{"name": "central", "value": 0.512}]}  # fmt: skip
    html = page.render(data)
    for said in ("Model card", "Simulated drawings", "the central 51.2%", "telling age, sex", "17 pairs of pairs.csv",
                 "5 of the table are of other splits", "chosen on 1,234 impostor pairs", "<svg",
                 "135 pairs of two persons are too few for a TAR at FAR 1e-2 and 1e-3"):  # fmt: skip
        assert said in html, said
    section = verification.SECTION
    assert [name for name, _ in section.rows(run[2])] == ["threshold"]
    assert section.cards(run[2], {}, 18).cards[0]["label"] == "equal error rate"
    assert "No pair could be verified" in page.render(data | {"sections": {"verification": None}})


def test_pictures_of_nobody_say_so(run, tmp_path):
    files = [write_records(tmp_path / "n.gz", [picture_record(photograph(16, 16))])]
    with pytest.raises(verification.FaceError, match="says whom it shows"):
        verification.measure(str(run[0]), files)
