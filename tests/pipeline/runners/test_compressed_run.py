"""A whole compression here, for real and tiny: a classifier is trained first, and then compressed."""

import re

import pytest

from components.native_model import NativeModel
from models.compressed import archive
from models.publishing import pushed
from pipeline import cli
from tests.models.kinds import photograph, png
from tests.pipeline.runners.tiny_runs import TinyRun, class_folders

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("compressed")
    run = TinyRun(root, "compressed_network", class_folders(root / "pictures"), centres=8, model_settings="width=4")
    run.run()
    assert run.status == 0, run.printed
    return run


def test_the_classifier_is_a_step_of_its_own(tiny):
    steps = re.findall(r"^\S+ (\S+) +[\d.]+ s", tiny.printed, re.MULTILINE)
    assert {"Original", "Trainer", "Pusher", "Report"} <= set(steps)
    assert re.search(r"^archive +[\d,]+ bytes, [\d.]+ times smaller than", tiny.printed, re.MULTILINE)
    assert tiny.done(beta=0.5) >= {"Trainer"} and "Original" not in tiny.done(beta=0.6)


def test_what_is_pushed_comes_out_of_its_archive(tiny, tmp_path):
    folder = tiny.named
    assert pushed.describe(folder)["recipe"] == "small_cnn"
    assert cli.main(["unpack", f"{folder}/{pushed.EXTRA}/{archive.FILE}", "--out", str(tmp_path / "again")]) == 0
    answers = []
    for place in (folder, tmp_path / "again"):
        with NativeModel(place) as served:
            answers.append(served("predict", image_bytes=[png(photograph(20, 30))])["probabilities"].tolist())
    assert answers[0] == answers[1]


def test_a_compressed_network_is_compressed_again_from_its_path(tiny):
    named = tiny.named
    assert "GivenModel" in tiny.done(model=named, centres=4, model_settings="")
    assert "Original" not in tiny.printed
