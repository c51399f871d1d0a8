"""How the suite runs. Set before TensorFlow is first imported: quiet logs, and plots that need no screen."""

import os
import sys

import pytest

from tests import pieces, quick, scheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
quick.collect_rarely()


def pytest_collection_modifyitems(items):
    """The longest files first."""
    items[:] = [items[n] for n in pieces.in_order([item.nodeid for item in items])]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Behind a piece's last test, when its fixtures are gone."""
    yield
    if nextitem is None or pieces.piece(nextitem.nodeid) != pieces.piece(item.nodeid):
        quick.collect_if_large()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With --dist loadfile: shares out `pieces` in the order of the tests."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # it would put those of most tests first
    return scheduling.Pieces(config, log)


@pytest.fixture(scope="session", autouse=True)
def graphs_run_as_traced():
    """See `quick`; tests that do not need TensorFlow do not wait for it."""
    if "tensorflow" in sys.modules:
        quick.run_as_traced()
