"""Pushing: the newest version of a serving folder is always the model that was pushed last, whole, and once."""

import concurrent.futures
import json
import time

import pytest
from tfx.types import standard_artifacts

from components import artifacts
from components.serving import configuration, pusher


def model(folder, text):
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(text)
    (folder / "variables" / "data").write_text(text * 2)
    return str(folder)


def test_a_model_is_copied_whole_above_all_versions(tmp_path):
    later = int(time.time()) + 1000  # a clock that was wrong
    model(tmp_path / "serving" / str(later), "old")
    (tmp_path / "serving" / str(later + 1)).mkdir()  # not complete: another tool is copying
    (tmp_path / "serving" / ".part").mkdir()  # of a push that was killed
    (tmp_path / "serving" / ".part" / "saved_model.pb").write_text("half")
    pushed = pusher.push(model(tmp_path / "model", "new"), str(tmp_path / "serving"))
    assert pushed.version == later + 2
    assert artifacts.tree_digest(pushed.path) == artifacts.tree_digest(str(tmp_path / "model"))
    names = sorted(p.name for p in (tmp_path / "serving").iterdir())
    assert names == [str(later + n) for n in range(3)]


def test_the_newest_is_not_copied_again_but_an_older_one_is(tmp_path):
    first, second = (model(tmp_path / name, name) for name in ("first", "second"))
    folder = str(tmp_path / "serving")
    one = pusher.push(first, folder)
    assert pusher.push(first, folder) == one
    two = pusher.push(second, folder)
    again = pusher.push(first, folder)
    assert one.version < two.version < again.version
    assert artifacts.pushed_versions(folder)[0] == again


def test_runs_that_push_at_once_do_not_take_each_others_version(tmp_path):
    models = [model(tmp_path / f"{n}", f"{n}") for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pushed = list(pool.map(lambda path: pusher.push(path, str(tmp_path / "serving")), models))
    assert len({version.version for version in pushed}) == 8
    for path, version in zip(models, pushed, strict=True):
        assert artifacts.tree_digest(version.path) == artifacts.tree_digest(path)


def test_what_a_server_reads_is_written_beside_and_its_labels_wait_for_the_server(tmp_path):
    folder = tmp_path / "serving" / "toy"
    stages = []
    for name in ("first", "second"):
        pusher.push(model(tmp_path / name, name), str(folder))
        stages.append(configuration.read(tmp_path / "serving" / "toy.config" / "models.config")["toy"])
    first, second = (version.version for version in reversed(artifacts.pushed_versions(str(folder))))
    assert stages[0] == configuration.Stage((first,), {"canary": first, "stable": first})
    assert stages[1] == configuration.Stage((first, second), {"canary": first, "stable": first})
    again = configuration.write_beside(folder) / "models.config"  # as `run` does when the cache answers for the push
    assert configuration.read(again)["toy"] == stages[1] and not (again.parent / "batching.config").exists()


@pytest.mark.parametrize("blessed", [0, 1])
def test_the_step_pushes_what_is_blessed(tmp_path, blessed):
    blessing, infra, pushed = (
        kind() for kind in (standard_artifacts.ModelBlessing, standard_artifacts.InfraBlessing,
                            standard_artifacts.PushedModel)
    )  # fmt: skip
    for artifact, name in ((blessing, "blessing"), (infra, "infra"), (pushed, "pushed")):
        artifact.uri = str(tmp_path / name)
    blessing.set_int_custom_property("blessed", blessed)
    infra.set_string_custom_property("blessing_status", "INFRA_BLESSED")
    for name in ("blessed", "has_model"):
        infra.set_int_custom_property(name, 1)
    model(tmp_path / "infra" / "stamped_model", "new")
    destination = {"filesystem": {"baseDirectory": str(tmp_path / "serving")}}
    inputs = {"model_blessing": [blessing], "infra_blessing": [infra]}
    pusher.Executor().Do(inputs, {"pushed_model": [pushed]}, {"push_destination": json.dumps(destination)})
    versions = artifacts.pushed_versions(str(tmp_path / "serving"))
    assert [v.path for v in versions] == [pushed.get_string_custom_property("pushed_destination")][: len(versions)]
    assert len(versions) == pushed.get_int_custom_property("pushed") == blessed
    assert not list((tmp_path / "pushed").iterdir())
    assert (tmp_path / "serving.config" / "models.config").exists() == bool(blessed)
