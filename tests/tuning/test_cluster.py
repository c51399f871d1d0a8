"""What chief and workers of a cluster do beside training. A whole search: tests/pipeline/commands/test_sweep.py."""

import threading
import time

import pytest

from models.contract import registry
from tests.tuning.test_supervisor import TINY, processes
from tuning import cluster, supervisor
from tuning.plan import Plan


def role(name: str, out, port: int = 1) -> cluster.Role:
    """The role of a process, of the variables that a manifest would give it."""
    variables = {
        cluster.TUNER: name,
        cluster.IP: "127.0.0.1",
        cluster.PORT: str(port),
        cluster.SEARCH: "a",
        "HOME": "/",
    }
    found = cluster.taken(variables, out)
    assert variables == {"HOME": "/"}, "keras-tuner would act on the others"
    return found


def test_a_role_is_what_the_variables_say(tmp_path):
    assert role("chief", tmp_path).is_chief and not role("tuner0", tmp_path).is_chief
    assert cluster.taken({"HOME": "/"}, tmp_path) is None
    assert role("tuner1", tmp_path).note == tmp_path / "sweep-a.json"


def test_a_worker_waits_for_its_search_and_not_beyond_its_end(tmp_path):
    statuses = []
    waiting = threading.Thread(target=lambda: statuses.append(cluster.work(role("tuner0", tmp_path / "out"))))
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive() and cluster.ended(role("tuner0", tmp_path / "out")) is None
    cluster.end(role("chief", tmp_path / "out"), 0)
    waiting.join(5)
    assert statuses == [0] and cluster.ended(role("chief", tmp_path / "out")) == 0


@pytest.mark.slow
def test_what_no_trial_could_avoid_ends_the_search_everywhere(tmp_path, monkeypatch):
    port = supervisor.free_port()
    chief, worker = role("chief", tmp_path, port), role("tuner0", tmp_path, port)
    config = registry.get("factorized").make_config("small", TINY)
    spec = {
        "recipe": "factorized", "config": vars(config), "files": {"train_files": [], "validation_files": []},
        "directory": str(tmp_path / "search"), "logs": "", "plan": vars(Plan(2)),
    }  # fmt: skip
    for name in (cluster.NOTE, cluster.ORACLE):
        monkeypatch.delenv(name, raising=False)
    assert not cluster.is_led()
    variables = {}
    cluster.lead(chief, variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = []

    def work() -> None:
        try:
            cluster.work(worker)
        except supervisor.SearchError as error:
            said.append(str(error))

    working = threading.Thread(target=work)
    working.start()
    with pytest.raises(
        supervisor.SearchError, match="^the search's process tuner0 cannot go on: .*no records"
    ) as caught:
        cluster.run(spec)
    working.join(10)
    assert said == [str(caught.value)] and not processes()
