"""The image: what its file says that can be told without building it."""

import ast
import importlib.metadata
import re
import subprocess

import pytest

from components import closure
from pipeline.runners import kubeflow

ROOT = closure.ROOT


def lines(name: str) -> list[str]:
    """The lines of a file that are no comments."""
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# The image is made of this lock; with another one installed, its packages cannot be asked what they need.
of_the_image = pytest.mark.skipif(
    f"tensorflow=={importlib.metadata.version('tensorflow')}" not in lines("requirements.lock"),
    reason="the packages of another lock are installed",
)


@of_the_image
def test_no_package_of_the_image_needs_one_that_is_left_out():
    left_out = {canonical(name) for name in lines("requirements-tests.txt")}
    locked = {canonical(line.partition("==")[0]) for line in lines("requirements.lock")}
    assert left_out < locked
    needed = {}
    for name in locked - left_out:
        for text in importlib.metadata.requires(name) or ():
            wanted = canonical(re.match(r"[\w.-]+", text)[0])
            if wanted in left_out and "extra ==" not in text:
                needed[name] = wanted
    assert not needed


def test_the_code_imports_nothing_that_is_left_out():
    left_out = {name.replace("-", "_") for name in lines("requirements-tests.txt")} | {"xdist"}
    for folder in closure.OWN:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.partition(".")[0] for name in names} & left_out, path


@pytest.mark.parametrize("kind", ["cpu", "gpu", "tpu"])
def test_its_packages_are_the_lock_without_tests_and_with_cuda_where_asked_for(tmp_path, kind):
    """Runs the file's own lines, up to the installation."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^RUN (grep .*?) && python -m venv", text, re.MULTILINE)
    for name in ("requirements.lock", "requirements-cuda.lock", "requirements-tests.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, env={"ACCELERATOR": kind, "PATH": "/usr/bin:/bin"})
    assert (ran.returncode == 0) == (kind != "tpu")
    if kind != "tpu":
        image, tests = set(lines("requirements.lock")), set(lines("requirements-tests.txt"))
        image = {line for line in image if line.partition("==")[0] not in tests}
        made = {line for line in (tmp_path / "image.lock").read_text().splitlines() if not line.startswith("#")} - {""}
        assert made == image | (set(lines("requirements-cuda.lock")) if kind == "gpu" else set())
        assert len(image) == len(lines("requirements.lock")) - len(tests)


@of_the_image
def test_cuda_is_what_this_tensorflow_wants():
    wanted = [text for text in importlib.metadata.requires("tensorflow") if "and-cuda" in text]
    assert {text.partition(";")[0].replace(" ", "") for text in wanted} == set(lines("requirements-cuda.lock"))


def test_it_runs_as_nobody_special_from_a_pinned_base_and_keeps_its_code_where_no_volume_may_be():
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=python:3\.10\.\d+-slim-\w+$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["1000"]
    assert f"WORKDIR {kubeflow.IMAGE_CODE}\n" in text and f"PYTHONPATH={kubeflow.IMAGE_CODE} " in text
