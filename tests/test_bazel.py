"""BUILD by a real Bazel where one is installed (Debian: bazel-bootstrap); shims stand for rules that it would fetch."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.build_file import build_targets
from tests.sources import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("bazel"), reason="no Bazel is installed")
FOLDERS = ("components", "docs", "models", "pipeline", "scripts", "tests", "tuning", ".ci")
WORKSPACE = """workspace(name = "kompakt")
local_repository(name = "rules_python", path = "{0}/rules_python")
local_repository(name = "pip", path = "{0}/pip")
local_repository(name = "remote_coverage_tools", path = "{0}/coverage")
"""


class Bazel:
    """A copy of the repository, and its Bazel."""

    def __init__(self, root: pathlib.Path):
        self.copy, self._out = root / "copy", root / "out"
        unwanted = shutil.ignore_patterns("__pycache__")
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, self.copy / folder, ignore=unwanted)
        for file in (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"):
            shutil.copy(file, self.copy / file.name)
        (self.copy / ".bazelversion").unlink()  # this Bazel is another one
        shims = root / "shims"
        for file, text in {
            "rules_python/WORKSPACE": "",
            "rules_python/python/BUILD": "",
            "rules_python/python/defs.bzl": (ROOT / "tests" / "bazel_shims" / "defs.bzl").read_text(),
            "coverage/WORKSPACE": "",  # Bazel's own, which every test has by its name
            "coverage/BUILD": 'filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])',
            "pip/WORKSPACE": "",
            "pip/BUILD": "",
            "pip/requirements.bzl": "all_requirements = []\n",
        }.items():
            (shims / file).parent.mkdir(parents=True, exist_ok=True)
            (shims / file).write_text(text)
        (self.copy / "WORKSPACE").write_text(WORKSPACE.format(shims))

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess:
        command = ["bazel", f"--output_user_root={self._out}", *arguments]
        return subprocess.run(command, cwd=self.copy, capture_output=True, text=True)

    def test(self, target: str) -> str:
        """Runs a test; gives the line of its outcome."""
        options = ["--noshow_progress", "--test_output=errors", f"--test_env=KOMPAKT_PYTHON={sys.executable}"]
        passed = {"CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL"} & os.environ.keys()
        options += [f"--test_env={name}" for name in passed]
        done = self("test", *options, f"//:{target}")
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"//:{target} ")]
        assert lines, done.stderr + done.stdout
        return lines[-1]


@pytest.fixture(scope="module")
def bazel(tmp_path_factory):
    one = Bazel(tmp_path_factory.mktemp("bazel"))
    yield one
    one("shutdown")


def test_bazel_sees_the_targets_that_the_rules_of_the_house_see(bazel):
    done = bazel("query", "//...", "--noshow_progress")
    assert done.returncode == 0, done.stderr
    assert {line.removeprefix("//:") for line in done.stdout.split()} == set(build_targets())
    done = bazel("query", "rdeps(//..., //:docs/ecg.md, 1)", "--noshow_progress", "--noimplicit_deps")
    reads = {name for name, target in build_targets().items() if "docs/ecg.md" in target.get("data", ())}
    assert {line.removeprefix("//:") for line in done.stdout.split()} == reads | {"docs/ecg.md"}, done.stderr


def test_what_a_test_does_not_read_leaves_it_in_the_cache_and_what_it_reads_does_not(bazel):
    target = "tests_components_kinds_recordings_test_places"
    assert "PASSED" in (first := bazel.test(target)) and "cached" not in first
    (bazel.copy / "docs" / "codecs.md").write_text("Changed.\n")
    with open(bazel.copy / "pipeline" / "commands" / "sweep.py", "a") as file:
        file.write("# changed\n")
    assert "(cached) PASSED" in bazel.test(target)
    (bazel.copy / "docs" / "ecg.md").rename(bazel.copy / "docs" / "moved.md")
    assert "FAILED" in bazel.test(target)
