"""The page of a classifier: confusions, reliability, its int8 file; what of the test split counts for them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from components.evaluation import classifier_answers
from components.report import page
from components.report.sections import confusions
from models.contract import registry
from models.publishing import export
from tests.models.kinds import tinted, write_records

CLASSIFIED = {
    "names": ["cat", "<dog>"], "confusion": [[18, 2], [5, 15]],
    "reliability": [{"confidence": 0.6, "accuracy": 0.5, "count": 10},
                    {"confidence": 0.95, "accuracy": 0.9, "count": 30}],
}  # fmt: skip
DATA = {
    "recipe": "small_cnn", "noun": "pictures",
    "slices": [{"slice": "all", "examples": 40, "values": {"accuracy": 0.9, "calibration_error": 0.031}}],
    "metrics": [{"name": "accuracy", "unit": "", "better": "higher", "title": "", "detail": False}],
    "sections": {"confusions": {"int8": None, "classified": CLASSIFIED}},
}  # fmt: skip


def test_a_classifiers_page_has_confusions_and_no_rates():
    html = page.render(DATA)
    assert "Confusions and confidence" in html and "Rate and distortion" not in html and "<h2>Pictures" not in html
    assert "&lt;dog&gt;" in html and "<dog>" not in html
    assert html.count("<svg") >= 1 and "share of right answers" in html
    assert "taken for &lt;dog&gt;" in html and ">18<" in html
    assert "noisy latents" not in html


def test_many_classes_show_their_worst_pairs_alone():
    count = 30
    confusion = [[10 if i == j else int(j == i + 1) for j in range(count)] for i in range(count)]
    names = [f"class {i}" for i in range(count)]
    classified = CLASSIFIED | {"names": names, "confusion": confusion}
    html = page.render(DATA | {"sections": {"confusions": {"classified": classified}}})
    assert '<table class="confusion">' not in html and html.count("taken for") == 20


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of an untrained classifier of three classes with its int8 file."""
    folder = tmp_path_factory.mktemp("exported")
    recipe = registry.get("small_cnn")
    settings = {"classes": 3, "image_size": 16, "width": 4, "int8": True}
    config = recipe.make_config("small", settings)
    files = [write_records(folder / "train.gz", [tinted(n, f"{n}") for n in range(3)])]
    export.export(recipe, config, recipe.build(config), str(folder / "model"), examples=files)
    return str(folder / "model")


def unlabelled(folder, count):
    """A file of pictures without a label."""
    records = []
    for n in range(count):
        example = tf.train.Example.FromString(tinted(n, f"unlabelled {n}"))
        del example.features.feature["image/label"], example.features.feature["image/label_name"]
        records.append(example.SerializeToString())
    return write_records(folder / "unlabelled.gz", records)


def test_pictures_without_a_label_are_in_no_figure(exported, tmp_path):
    files = [write_records(tmp_path / "r.gz", [tinted(n, f"{n}") for n in range(9)])]
    more = [*files, unlabelled(tmp_path, 4)]
    p, labels = classifier_answers.probabilities(exported, more)
    assert list(labels[9:]) == [-1] * 4
    found = confusions.measure(exported, more, ["r", "g", "b"])
    assert found == confusions.measure(exported, files, ["r", "g", "b"])
    assert sum(map(sum, found["confusion"])) == sum(b["count"] for b in found["reliability"]) == 9
    int8, alone = (confusions.measure_int8(exported, f) for f in (more, files))
    assert int8["float_accuracy"] == np.mean(p.argmax(1)[:9] == labels[:9])
    assert all(int8[name] == alone[name] for name in ("accuracy", "float_accuracy"))
    for measure in (lambda f: confusions.measure(exported, f, []), lambda f: confusions.measure_int8(exported, f)):
        with pytest.raises(classifier_answers.ClassifierError, match="no picture of the test split has a"):
            measure(more[1:])


def test_the_int8_file_is_told_on_the_page_and_in_the_terminal():
    int8 = {"accuracy": 0.5, "float_accuracy": 0.75, "agreement": 0.6, "size_bytes": 4321}
    measured = {"classified": CLASSIFIED, "int8": int8}
    html = page.render(DATA | {"sections": {"confusions": json.loads(json.dumps(measured))}})
    assert "The int8 TFLite file (4 kB) is right on 50.00% of the test split, the SavedModel on 75.00%" in html
    assert confusions.SECTION.rows(measured) == [("int8 accuracy", "0.5000 (4,321 bytes)")]
    assert confusions.SECTION.rows(None) == confusions.SECTION.rows({"classified": None, "int8": None}) == []
