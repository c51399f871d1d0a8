"""Which version of a serving folder is loaded, trained on from, and named next."""

import pathlib
import time

import pytest

from models.publishing import pushed


@pytest.fixture
def folder(tmp_path):
    """Versions 9 and 10 that servers load, 11 with weights alone, 12 half written, a name that is no number."""
    for version in ("9", "10", "draft"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    (tmp_path / "11" / pushed.EXTRA).mkdir(parents=True)
    (tmp_path / "11" / pushed.EXTRA / pushed.ABOUT).write_text("{}")
    (tmp_path / "12").mkdir()
    return tmp_path


def test_servers_see_complete_versions_oldest_first(folder):
    assert list(pushed.versions(folder).items()) == [(9, folder / "9"), (10, folder / "10")]
    assert pushed.versions(folder / "absent") == {}


def test_training_goes_on_from_the_newest_with_weights(folder):
    assert pushed.newest(str(folder)) == folder / "11"


@pytest.mark.parametrize("name", ["12", "absent"])
def test_a_folder_without_versions_is_itself(folder, name):
    assert pushed.newest(str(folder / name)) == pathlib.Path(folder / name)


def test_versions_are_numbered_by_time_and_upwards():
    now = int(time.time())
    assert now <= pushed.next_version([]) <= now + 60
    assert pushed.next_version([3, now + 1000]) == now + 1001
