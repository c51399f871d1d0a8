"""The report of recordings, from a real tiny model: what is measured, drawn and said."""

import base64
import json

import numpy as np
import pytest

from components.evaluation import ecg_results
from components.report import collect, page
from components.report.sections import mistakes
from models.contract import registry
from models.records import recordings as ecg_data
from tests.components import ecg_records, tiny_ecg

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Ingest files, and what `tiny_ecg.save` returns and writes."""
    root = tmp_path_factory.mktemp("ecg")
    files = tiny_ecg.ingested(root / "ingest")
    return files, root / "model", tiny_ecg.save(root, files)


@pytest.fixture(scope="module")
def measured(trained):
    """The measurement of the test split."""
    files, model_dir, (_, config, _, _) = trained
    return mistakes.measure(str(model_dir), files["test"], json.loads(config.class_names))


def test_the_confusions_are_those_of_the_model_on_transformed_records(trained, measured):
    recipe, config, model, transformed = trained[2]
    labels, p = ecg_results.answers(recipe, config, model, transformed["test"])
    figures = ecg_results.figures(labels, p, json.loads(config.class_names))
    assert len(labels) == 12 and measured["confusion"] == figures["confusion"]
    assert {s["name"]: s["f1"] for s in measured["scores"]} == figures["f1"]
    assert sum(s["recordings"] for s in measured["scores"]) == sum(b["count"] for b in measured["reliability"]) == 12
    low, high = figures["interval"]
    assert low <= figures["challenge_f1"] <= high and 0 <= figures["calibration_error"] <= 1


def test_the_worst_mistakes_are_the_surest_wrong_answers(trained, measured):
    recipe, config, model, transformed = trained[2]
    labels, p = ecg_results.answers(recipe, config, model, transformed["test"])
    wrong = np.sort(p.max(1)[p.argmax(1) != labels])[::-1]
    found = measured["mistakes"]
    assert 0 < len(found) == min(mistakes.MISTAKES, len(wrong))
    np.testing.assert_allclose([m["probability"] for m in found], wrong[: len(found)], atol=1e-5)
    records = {r[ecg_data.ID].decode(): r for r in ecg_records.read(trained[0]["test"])}
    for mistake in found:
        record = records[mistake["id"]]
        assert mistake["is"] == record[ecg_data.LABEL_NAME].decode() != mistake["taken"]
        assert base64.b64decode(mistake["signal"]) == record[ecg_data.SIGNAL]
        assert mistake["seconds"] == len(record[ecg_data.SIGNAL]) / 600


def test_the_page_speaks_of_recordings_and_draws_them(measured):
    data = {
        "recipe": "ecg_cnn", "noun": "recordings", "sections": {"mistakes": measured},
        "history": [{"step": 2, "loss": 1.0, "val_loss": 1.1, "f1": 0.4, "val_f1": 0.3, "phase": 0}],
        "metrics": collect.metrics(registry.get("ecg_cnn")),
        "slices": [{"slice": "all", "examples": 12, "values": {
            "precision_noise": 0.5, "precision_noise_diff": 0.1, "challenge_f1": 0.25, "challenge_f1_diff": 0.01}}],
        "ingest": {"dataset": "cinc2017", "label_version": "REFERENCE-v3.csv", "unlabelled": ["A9"],
                   "splits": {"train": {"recordings": 8528, "bytes": 1_600_000, "seconds": 277_200.0}}},
    }  # fmt: skip
    html = page.render(data)
    for said in ("Worst mistakes", "Scores of the classes", "fibrillation", "8,528", "hours", "77.0", "challenge F1",
                 "challenge_f1_diff",
                 "REFERENCE-v3.csv", "recording without a label",
                 "Rows: what a recording of the test split is"):  # fmt: skip
        assert said in html, said
    assert "picture" not in html and "phase" not in html and "precision_noise" not in html
    assert html.count("data:image/png;base64") == len(measured["mistakes"])  # a spectrogram each
    assert all(m["id"] in html for m in measured["mistakes"])


def test_without_labels_there_is_nothing_to_measure(trained, tmp_path):
    file = ecg_records.write(tmp_path / "unlabelled.gz", [ecg_records.record("", 1)])
    with pytest.raises(mistakes.EcgError, match="no recording"):
        mistakes.measure(str(trained[1]), [file], ["N", "A"])
