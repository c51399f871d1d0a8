"""The command line's answers to mistakes: one line, exit code 2, nothing written; and help without TensorFlow."""

import fcntl
import subprocess
import sys

import pytest

from pipeline import cli
from pipeline.arguments import given
from pipeline.runners import local
from tests.components.recordings_on_disk import steps, write_pair


@pytest.fixture
def failing(tmp_path, monkeypatch, capsys):
    """Runs a command line that must fail with exit code 2; returns its one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        assert cli.main([str(a) for a in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1, printed.err
        assert printed.out == ""
        assert sorted(tmp_path.rglob("*")) == before
        return printed.err

    return run


@pytest.mark.parametrize("command", [["run"], ["compile", "--out", "file.yaml"]])
def test_mistakes_in_what_is_trained(failing, tmp_path, command):
    assert "did you mean 'hyperprior'" in failing(*command, "hyperprio")
    assert "no preset 'smal'" in failing(*command, "hyperprior", "--preset", "smal")
    assert "nearest is 'channels'" in failing(*command, "hyperprior", "--set", "chanels=8")
    assert "not a valid int" in failing(*command, "hyperprior", "--set", "channels=many")
    assert "KEY=VALUE" in failing(*command, "hyperprior", "--set", "channels")
    assert "exclude each other" in failing(*command, "hyperprior", "--data", ".", "--dataset", "cifar10")


def test_mistakes_in_the_data(failing, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    assert "absent" in failing("run", "hyperprior", "--data", tmp_path / "absent")
    assert "no such folder" in failing("run", "hyperprior", "--data", tmp_path / "file")
    assert "empty" in failing("run", "hyperprior", "--data", tmp_path / "empty")
    assert "cifar10" in failing("run", "hyperprior", "--dataset", "cifar1")


def test_mistakes_in_recordings(failing, tmp_path):
    (tmp_path / "file.txt").write_text("no recordings")
    (tmp_path / "damaged.zip").write_text("no archive")
    write_pair(tmp_path / "bare", "A00001", steps(2))
    assert "is no folder and no archive" in failing("run", "ecg_cnn", "--data", tmp_path / "file.txt")
    assert "cannot be read" in failing("run", "ecg_cnn", "--data", tmp_path / "damaged.zip")
    assert "have no classes" in failing("run", "ecg_cnn", "--data", tmp_path / "bare")
    assert "have no classes" in failing("run", "ecg_cnn", "--data", tmp_path / "bare", "--dataset", "wfdb_folder")
    assert "no such folder" in failing("run", "ecg_cnn", "--data", tmp_path / "absent")
    assert "holds pictures; this recipe takes recordings" in failing("run", "ecg_cnn", "--dataset", "digits")
    assert "holds recordings; this recipe takes pictures" in failing("run", "hyperprior", "--dataset", "ecg_sample")
    assert "exclude each other" in failing("run", "ecg_cnn", "--data", tmp_path / "bare", "--dataset", "ecg_sample")


def test_the_data_set_of_recordings_is_chosen_by_what_lies_there(tmp_path):
    folder = write_pair(tmp_path / "training2017", "A00001", steps(2)).parent
    (folder / "REFERENCE-v3.csv").write_text("A00001,N\n")
    plain = dict(preset="small", settings=())
    for data, dataset, expected in (
        (None, None, "ecg_sample"), (folder, None, "cinc2017"), (folder, "wfdb_folder", "wfdb_folder"),
    ):  # fmt: skip
        _, _, (name, place, digest) = given.checked("ecg_cnn", data=data, dataset=dataset, **plain)
        assert name == expected and digest.startswith(f"{expected}/") and place == str(data or "")


def test_mistakes_in_the_command_itself(failing):
    assert "nearest is 'compress'" in failing("compres")
    assert "--preset" in failing("run", "hyperprior", "--presett", "small")
    assert "RECIPE" in failing("run")
    assert "must end in .yaml" in failing("compile", "hyperprior", "--out", "file.json")
    assert "absent" in failing("compile", "hyperprior", "--out", "absent/file.yaml")


def test_output_that_cannot_be_written(failing, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in failing("run", "hyperprior", "--out", tmp_path / "file")
    assert "cannot be written" in failing("run", "hyperprior", "--out", tmp_path / "file" / "below")
    assert "--push-to" in failing("run", "hyperprior", "--push-to", tmp_path / "file" / "models")


def test_one_run_at_a_time_in_a_folder(tmp_path):
    with local.locked(tmp_path / "out"):
        with pytest.raises(local.RunError, match="another run is using it") as raised:
            with local.locked(tmp_path / "out"):
                pass
        assert raised.value.status == 2
    with local.locked(tmp_path / "out"):  # Free again.
        pass
    with open(tmp_path / "out" / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_help_needs_no_tensorflow():
    code = (
        "import sys; from pipeline import cli; status = cli.main(['run', '--help']);"
        "sys.exit(status or any(m in sys.modules for m in ('tensorflow', 'tfx', 'keras')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-unreadable" in done.stdout


def test_list_names_every_recipe(capsys):
    from models.contract import registry

    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in registry.recipes())
