"""Digests, pushed versions and the baseline that a new model is compared with."""

import json

import pytest
from tfx.types import standard_artifacts

from components import artifacts
from components.evaluation import baseline


def origin(run, **changes):
    return {"run": run, "recipe": "hyperprior", "metrics": ["psnr_db"], "comparable": {"lmbda": 0.01}} | changes


def push(folder, version, **values):
    path = folder / str(version)
    (path / "assets.extra").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"a graph")
    (path / artifacts.ORIGIN).write_text(json.dumps(origin(**values)))
    return path


def test_the_digest_of_a_folder_follows_paths_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    whole, file = artifacts.tree_digest(str(tmp_path)), artifacts.tree_digest(str(tmp_path / "a" / "x"))
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert artifacts.tree_digest(str(tmp_path)) != whole
    assert artifacts.tree_digest(str(tmp_path / "a" / "y")) == file
    (tmp_path / "a" / "y").write_text("2")
    assert artifacts.tree_digest(str(tmp_path / "a" / "y")) != file


def test_a_copy_within_the_pipeline_takes_no_space(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    artifacts.copy_within(str(tmp_path / "a"), str(tmp_path / "linked"))
    assert (tmp_path / "linked" / "b" / "x").samefile(tmp_path / "a" / "b" / "x")

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(artifacts.os, "link", refuse)
    artifacts.copy_within(str(tmp_path / "a"), str(tmp_path / "copied"))
    assert (tmp_path / "copied" / "b" / "x").read_text() == "1"
    assert not (tmp_path / "copied" / "b" / "x").samefile(tmp_path / "a" / "b" / "x")


def test_digest_does_not_depend_on_the_order_of_keys():
    assert artifacts.digest({"a": 1, "b": 2}) == artifacts.digest({"b": 2, "a": 1}) != artifacts.digest({"a": 1})


def test_pushed_versions_are_complete_and_newest_first(tmp_path):
    assert artifacts.pushed_versions(str(tmp_path / "absent")) == []
    for version in (9, 10):
        push(tmp_path, version, run=f"run{version}")
    (tmp_path / "11").mkdir()  # Still being copied: no saved_model.pb.
    (tmp_path / "notes").mkdir()
    found = artifacts.pushed_versions(str(tmp_path))
    assert [(v.version, v.origin["run"]) for v in found] == [(10, "run10"), (9, "run9")]


def test_origin_is_written_where_pushed_versions_read_it(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").write_bytes(b"")
    artifacts.write_origin(str(tmp_path / "7"), {"run": "r"})
    assert artifacts.pushed_versions(str(tmp_path))[0].origin == {"run": "r"}


def test_baseline_is_the_newest_comparable_model_of_another_run(tmp_path):
    def last(run):
        found = baseline.last_pushed(str(tmp_path), origin(run))
        return found and found.version

    assert last("a") is None
    push(tmp_path, 1, run="a")
    assert last("a") is None  # Its own push changes nothing for the same command.
    assert last("b") == 1
    push(tmp_path, 2, run="b")
    push(tmp_path, 3, run="c", recipe="factorized")
    push(tmp_path, 4, run="d", metrics=["mse"])
    push(tmp_path, 5, run="e", comparable={"lmbda": 0.5})
    assert last("a") == 2
    assert last("b") == 1


@pytest.mark.parametrize("pushed", [False, True])
def test_baseline_component_copies_the_model_or_leaves_the_output_empty(tmp_path, pushed):
    if pushed:
        push(tmp_path / "serving", 5, run="old")
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    function = baseline.Baseline.EXECUTOR_SPEC.executor_class._FUNCTION
    function(model=model, push_dir=str(tmp_path / "serving"), origin=json.dumps(origin("new")), last="")
    copied = tmp_path / "model" / "Format-Serving" / "saved_model.pb"
    assert copied.exists() is pushed
    assert (tmp_path / "model").is_dir()
    assert model.get_string_custom_property("pushed_path") == (str(tmp_path / "serving" / "5") if pushed else "")
