"""The command line's answers to mistakes: one line, exit code 2, nothing written; and help without TensorFlow."""

import errno
import fcntl
import os
import pathlib
import shutil
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


def test_mistakes_in_how_a_training_is_shared(failing):
    assert "--workers is of --distribute multi_worker" in failing("run", "hyperprior", "--workers", "2")
    shared = ("run", "hyperprior", "--distribute", "multi_worker", "--workers", "3", "--set", "batch_size=4")
    assert "batch_size=4: must be a multiple of the 3 workers" in failing(*shared)


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
    assert "file: is a file; wanted is a folder" in failing("run", "hyperprior", "--out", tmp_path / "file")
    for command in (("run", "hyperprior"), ("sweep", "hyperprior"), ("cross-validate", "ecg_cnn"), ("split", tmp_path)):
        said = failing(*command, "--out", tmp_path / "file" / "below")
        assert f"--out {tmp_path}/file/below: cannot be written (Not a directory)" in said
    assert "--push-to" in failing("run", "hyperprior", "--push-to", tmp_path / "file" / "models")


def test_paths_that_pipelines_do_not_take(failing, tmp_path):
    for option in ("--out", "--push-to", "--data"):
        assert f"'{option}': gs://bucket/x is an address" in failing("run", "hyperprior", option, "gs://bucket/x")
        if option != "--data":
            assert "take a path with '[' for a pattern" in failing("run", "hyperprior", option, "runs[1]")
        assert f"{option} {tmp_path}/r\\xe9: the path is not UTF-8" in failing("run", "hyperprior", option, "r\udce9")
    assert "'--data': the path is empty" in failing("run", "hyperprior", "--data", "")
    assert "no such folder" in failing("compile", "hyperprior", "--data", "misspelt", "--out", "file.yaml")


def test_names_that_are_no_text_are_told_all_the_same(failing, tmp_path):
    for command in (
        ("report",),
        ("split", "--out", "parts"),
        ("compress", "--out", "out"),
        ("predict", "x", "--model"),
    ):
        assert "caf\\xe9" in failing(*command, "caf\udce9")


def test_damaged_inputs_of_commands_that_need_no_model(failing, tmp_path):
    (tmp_path / "saved_model.pb").write_text("no model")
    assert "saved_model.pb: damaged, or no SavedModel" in failing("split", tmp_path, "--out", tmp_path / "parts")
    assert "no model here" in failing("split", tmp_path / "absent", "--out", tmp_path / "parts")
    assert "no report.json here" in failing("report", tmp_path)
    (tmp_path / "report.json").write_text("{}")
    assert "not the numbers of a report" in failing("report", tmp_path)
    for url in (
        "ftp://h/v1/models/x",
        "http://[h/v1/models/x",
        "http://h h/v1/models/x",
        "http://h:700000/v1/models/x",
    ):
        assert f"{url}: not of the form http://HOST" in failing("predict", tmp_path, "--url", url)


def test_a_log_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "out" / "run.log").mkdir(parents=True)
    assert cli.main(["run", "hyperprior", "--out", str(tmp_path / "out")]) == 2
    assert "run.log: the log cannot be written (Is a directory)" in capsys.readouterr().err


def test_a_damaged_record_of_earlier_runs(tmp_path, capsys):
    (tmp_path / "metadata.sqlite").write_text("no data base " * 999)
    assert cli.main(["run", "hyperprior", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "metadata.sqlite: cannot be used (" in said and "every step is run again" in said
    assert (tmp_path / "metadata.sqlite").read_text().startswith("no data base")


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


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "cross-validate"),
        (["run", "--help"], 0, "--max-unreadable"),
        (["list"], 0, "hyperprior"),
        (["compress", "x", "--out", "y", "--target-bpp", "1", "--quality", "5"], 2, "choose one of quality"),
        (["compress", "x", "--out", "y", "--model", "m", "--url", "http://h/v1/models/m"], 2, "either --model DIR or"),
        (["decompress", "x", "--out", "y"], 2, "x: no such file or folder"),
        (["predict", "x", "--overlap", "5"], 2, "--overlap needs --window"),
        (["run", "hyperprior", "--data", "x", "--dataset", "y"], 2, "exclude each other"),
    ],
)
def test_help_and_mistakes_need_no_tensorflow(arguments, status, said):
    code = (
        f"import sys; from pipeline import cli; status = cli.main({arguments});"
        "sys.exit(99 if {'tensorflow', 'tfx', 'keras'} & set(sys.modules) else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr


def test_the_installed_command_answers_from_any_folder(tmp_path):
    script = pathlib.Path(sys.executable).with_name("kompakt")
    assert script.is_file(), "`make env` puts it there"
    done = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Usage: kompakt ") and not done.stderr
    misspelt = subprocess.run([script, "comprss"], cwd=tmp_path, capture_output=True, text=True)
    assert misspelt.returncode == 2 and misspelt.stderr.endswith("the nearest is 'compress'\n")


def test_a_command_is_one_file(tmp_path):
    """Added to a copy, it is listed, described, called and completed; the copy has the recipes it came with."""
    root = pathlib.Path(cli.__file__).parent.parent
    for folder in ("pipeline", "components", "models"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    (tmp_path / "pipeline" / "commands" / "say_hello.py").write_text(
        '"""Says hello."""\n\nimport click\n\n\n@click.command()\n@click.argument("name")\n'
        'def command(name):\n    """Say hello to NAME."""\n    click.echo(f"hello {name}")\n'
    )

    def called(*arguments, **variables):
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert "Say hello to NAME." in called("--help")[1]
    assert called("say-hello", "you") == (0, "hello you\n", "")
    assert called("say-helo") == (2, "", "error: no command 'say-helo'; the nearest is 'say-hello'\n")


@pytest.mark.parametrize(
    ("words", "found"), [("kompakt cross", "cross-validate"), ("kompakt run hyperp", "hyperprior")]
)
def test_shells_complete_commands_and_recipes(words, found, monkeypatch, capsys):
    for name, value in (("_KOMPAKT_COMPLETE", "bash_complete"), ("COMP_WORDS", words)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert cli.main([], name="kompakt") == 0
    assert capsys.readouterr().out.split() == [f"plain,{found}"]


def test_a_full_machine_is_told_and_a_fault_of_ours_is_shown(monkeypatch, capsys):
    def fail(number):
        def headlines():
            raise OSError(number, os.strerror(number), "place")

        return headlines

    from models.contract import registry

    monkeypatch.setattr(registry, "headlines", fail(errno.ENOSPC))
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "error: place: No space left on device\n"
    monkeypatch.setattr(registry, "headlines", fail(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument"):
        cli.main(["list"])


def test_list_names_every_recipe(capsys):
    from models.contract import registry

    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in registry.recipes())
