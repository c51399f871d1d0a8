"""The sections of networks with a budget and of learned algorithms, on exported models."""

import numpy as np
import pytest

from components.report import section
from components.report.section import Notes, Run
from models.contract import registry
from models.layers import cost
from models.publishing import pushed
from models.publishing.export import export
from models.strassen import algorithm as algorithms
from tests.models.kinds import Classifier


def run_of(folder):
    return Run("", {}, str(folder), "", [], 0, "", Notes())


def test_operations_are_told_beside_those_of_plain_layers(tmp_path):
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4, "budget": 0.5})
    model = recipe.build(config)
    files = [Classifier.write(tmp_path)["train"]]
    export(recipe, config, model, str(tmp_path / "1"), examples=files)
    one = section.get("operations")
    measured = one.measure(run_of(tmp_path / "1"))
    rows = cost.operations(model.network)
    assert measured["total"]["multiplications"] == sum(row.multiplications for row in rows)
    assert measured["plain"]["multiplications"] > measured["total"]["multiplications"]
    assert measured["bytes"]["file"] > 0 and len(measured["layers"]) == len(rows)
    page = one.render(measured, {})
    assert f"{measured['total']['multiplications']:,}" in page and "conv2d" in page
    said = dict(one.rows(measured))
    assert "with plain layers" in said["multiplications"] and "packed" in said["ternary weights"]


def test_there_is_nothing_to_tell_without_a_budget(tmp_path):
    (tmp_path / pushed.EXTRA).mkdir()
    (tmp_path / pushed.EXTRA / pushed.ABOUT).write_text('{"recipe": "small_cnn", "config": {"budget": 0.0}}')
    one = section.get("operations")
    assert one.measure(run_of(tmp_path)) is None and one.render(None, {}) == "" and one.rows(None) == []


@pytest.mark.parametrize("exact", [True, False])
def test_an_algorithm_is_written_out_and_verified(tmp_path, exact):
    recipe = registry.get("bilinear")
    config = recipe.make_config("small", {"restarts": 1})
    model = recipe.build(config)
    found = algorithms.of_order((2, 2, 2), *algorithms.PUBLISHED, order="columns" if exact else "rows")
    for weight, values in zip((model.w_a, model.w_b, model.w_c), (found.a, found.b, found.c), strict=True):
        weight.assign(np.array(values, "float32")[None])
    (tmp_path / "assets.extra").mkdir()
    recipe.beside(model, config, [], tmp_path / "assets.extra")
    one = section.get("algorithm")
    measured = one.measure(run_of(tmp_path))
    assert (measured["wrong"] == 0) == exact and measured["exact_restarts"] == int(exact)
    lines = one.lines(measured)
    assert "7 multiplications and 24 additions (8 multiplications plainly)" in lines[1]
    assert ("NOT exact" in lines[1]) != exact and "  m2 = (a22) (b22)" in lines or not exact
    assert "m2 = (a22) (b22)" in one.render(measured, {}) or not exact
    assert one.rows(measured) == [("searches", f"{int(exact)} of 1 searches ended at an exact algorithm")]
