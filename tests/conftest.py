"""How the suite runs: set before TensorFlow is first imported, and shared out among processes, the longest first."""

import os
import re
import sys

import pytest

from tests import quick

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
quick.collect_rarely()

# Files of over a minute, longest first: what begins last must not be what takes longest.
LONGEST = (
    "test_replicas.py", "test_local_run.py", "test_recipes.py", "test_jax.py", "test_server.py",
    "test_interruption.py", "test_toy_recipe.py", "test_damaged_streams.py", "test_variable_rate.py",
)  # fmt: skip
# The contract is the one file that grows with the recipes: each of them is a piece of its own.
CONTRACT = re.compile(r"(.*/test_recipes\.py)::TestContract::.*\[(\w+?)(?:-.*)?\]$")


def piece(nodeid: str) -> str:
    """What one process runs: a file, whose fixtures serve all its tests, or a recipe's tests of the contract."""
    found = CONTRACT.match(nodeid)
    return f"{found[1]}[{found[2]}]" if found else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items):
    """The longest files first, pieces together; else as they were."""
    pieces = {}
    for item in items:
        pieces.setdefault(piece(item.nodeid), []).append(item)

    def place(name: str) -> int:
        file = name.rpartition("/")[2].partition("[")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items[:] = [item for name in sorted(pieces, key=place) for item in pieces[name]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With --dist loadfile: shares out pieces in the order of the tests."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Pieces(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return piece(nodeid)

    config.option.loadscopereorder = False  # it would put those of most tests first
    return Pieces(config, log)


@pytest.fixture(scope="session", autouse=True)
def graphs_run_as_traced():
    """See `quick`; tests that do not need TensorFlow do not wait for it."""
    if "tensorflow" in sys.modules:
        quick.run_as_traced()
