"""The section of a compressed network, on one that was exported after a training of three steps."""

import numpy as np
import pytest

from components.report import section
from components.report.section import Notes, Run
from models.classifiers import int8
from models.compressed import archive
from models.compressed.compressed_network import UNCOMPRESSED
from models.contract import registry
from models.publishing import pushed
from models.publishing.export import export
from tests.models.kinds import KINDS
from tests.models.trained import train_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the section measures, the notes, and the folder of the model."""
    root = tmp_path_factory.mktemp("compression")
    files = KINDS["compressed"].write(root)
    done, folder = train_tiny(registry.get("compressed_network"), root, files), root / "1"
    export(done.recipe, done.config, done.model, str(folder), examples=[files["train"]])
    notes = Notes()
    run = Run("compressed_network", {}, str(folder), "", [files["validation"]], 6, "", notes)
    return section.get("compression").measure(run), notes, folder


def test_every_byte_of_the_archive_is_told(measured):
    found, notes, folder = measured
    size = (folder / pushed.EXTRA / archive.FILE).stat().st_size
    assert notes == [] and found["archive"] == size == sum(found["bytes"].values())
    page = section.get("compression").render(found, {})
    assert f"{size:,} bytes" in page and f"{found['bytes']['indices']:,}" in page and "<svg" in page


def test_it_stands_beside_the_model_as_it_was_int8_and_k_means(measured):
    found, _, folder = measured
    points = {p["name"]: p for p in found["points"]}
    assert {"compressed", "uncompressed", "int8", "k-means, 8 values", "k-means, 64 values"} <= set(points)
    assert points["uncompressed"]["bytes"] == found["float32"] > 4 * points["compressed"]["bytes"]
    assert points["k-means, 4 values"]["bytes"] < points["k-means, 64 values"]["bytes"]
    assert points["int8"]["bytes"] == (folder / pushed.EXTRA / UNCOMPRESSED / int8.FILE).stat().st_size
    # Many values are nearly as good as all: the two networks mostly agree on six pictures.
    assert abs(points["k-means, 64 values"]["accuracy"] - points["uncompressed"]["accuracy"]) <= 1 / 3
    assert all(np.isclose(6 * p["accuracy"], round(6 * p["accuracy"])) for p in points.values())


def test_a_run_ends_with_its_size_and_accuracy(measured):
    rows = dict(section.get("compression").rows(measured[0]))
    assert "times smaller" in rows["archive"] and "before" in rows["archive accuracy"]
    assert section.get("compression").rows(None) == [] and section.get("compression").render(None, {}) == ""
