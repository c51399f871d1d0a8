"""Runs a compiled file on this machine, by the KFP SDK's own local runner and what it leaves out (`kfp_driver`)."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any, NamedTuple

import platformdirs
import yaml

from models.contract.errors import KompaktError
from models.files import held
from pipeline.runners.kubeflow import IMAGE_CODE

_HERE = pathlib.Path(__file__).parent
_PROJECT = _HERE.parent.parent
_LOCK = _HERE / "kfp.lock"
# Variables that choose devices, kernels and threads: with others even the simulated recordings are others by a bit.
_NUMERIC = ("CUDA_", "MKL_", "NVPL_", "OMP_", "OPENBLAS_", "TF_", "XLA_")


class LocalError(KompaktError, RuntimeError):
    """A compiled file that cannot be run here, or failed; `status` is the exit code."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


class Compiled(NamedTuple):
    """What is asked of a compiled file here: its steps, its claims with where they are mounted, its parameters."""

    steps: list[str]
    claims: dict[str, str]
    parameters: dict[str, Any]


def read(file: pathlib.Path) -> Compiled:
    """Reads a compiled file.

    Raises:
      LocalError: it is none of `compile`'s.
    """
    try:
        spec, *more = yaml.safe_load_all(file.read_text(encoding="utf-8"))
        steps = list(spec["root"]["dag"]["tasks"])
        parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        executors = more[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if more else {}
        mounts = [mount for executor in executors.values() for mount in executor.get("pvcMount", ())]
        claims = {mount["constant"]: mount["mountPath"] for mount in mounts}
        spec["defaultPipelineRoot"].index("://")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LocalError(f"{file}: is no file that `compile` writes ({type(error).__name__}: {error})") from None
    return Compiled(steps, claims, {name: p.get("defaultValue") for name, p in parameters.items()})


def environment(given: pathlib.Path | None = None) -> pathlib.Path:
    """The Python that has the SDK: the one given, else one made on first use in the user's cache, or in KOMPAKT_CACHE.

    The latter links to the Python that made it: each has one of its own, made again where it no longer runs, as in a
    copy of a cache that lacks links.

    Raises:
      LocalError: it cannot be made, or the one given does not run or has no SDK.
    """
    if given:
        if not _runs(given):
            raise LocalError(f"{given}: is no Python that has kfp 2.16")
        return given
    cache = pathlib.Path(os.environ.get("KOMPAKT_CACHE") or platformdirs.user_cache_dir("kompakt"))
    made_of = hashlib.sha256(_LOCK.read_bytes() + f"{sys.base_prefix} {sys.version}".encode())
    folder = cache / f"kfp-{made_of.hexdigest()[:16]}"
    python, done = folder / "bin" / "python", folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with held(f"{folder}.lock", "another process installs the KFP SDK; waiting for it"):
        if not (done.exists() and _runs(python)):
            print(f"installing the KFP SDK into {folder} (100 MB) ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", _LOCK]
            for command in ([sys.executable, "-m", "venv", folder], install):
                ran = subprocess.run(command, capture_output=True, text=True)
                if ran.returncode:
                    said = (ran.stderr.strip().splitlines() or ["no message"])[-1]
                    raise LocalError(f"the KFP SDK cannot be installed ({said}); give its Python as --kfp-python")
            done.touch()
    return python


def _runs(python: pathlib.Path) -> bool:
    """Whether a Python is there and has the SDK; that of TFX itself is too old."""
    check = "import sys, kfp.local; sys.exit([int(n) for n in kfp.__version__.split('.')[:2]] < [2, 16])"
    try:
        return not subprocess.run([python, "-I", "-c", check], capture_output=True).returncode
    except OSError:
        return False


def namespace() -> list[str]:
    """The command that gives a process mounts of its own.

    Raises:
      LocalError: this machine allows it to nobody but administrators, or not at all.
    """
    for command in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            ran = subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True)
        except OSError as error:
            raise LocalError(f"unshare (of util-linux) cannot be run: {error.strerror}") from None
        if not ran.returncode:
            return command
    raise LocalError(f"volumes cannot be mounted here ({ran.stderr.strip()}): run it as root, in a container with "
                     "SYS_ADMIN, or where users may have namespaces of their own")  # fmt: skip


def run(file: pathlib.Path, out: pathlib.Path, python: pathlib.Path, claims: dict[str, pathlib.Path],
        parameters: dict[str, str | int], verbose: bool = False) -> dict[str, Any]:  # fmt: skip
    """Runs a compiled file; returns what its steps reported, by step.

    Args:
      out: gets `bucket` (artifacts), `logs` (one a step), `claims` (folders of claims that `claims` does not name).
      python: of an environment with the KFP SDK. claims: folder by claim. parameters: of the pipeline.

    Raises:
      LocalError: a step failed.
    """
    compiled = read(file)
    folders = {"bucket": out / "bucket", "work": out / "pods", "logs": out / "logs"}
    found = {claim: claims.get(claim, out / "claims" / claim) for claim in compiled.claims}
    shutil.rmtree(folders["logs"], ignore_errors=True)
    for folder in (*folders.values(), *found.values()):
        folder.mkdir(parents=True, exist_ok=True)
    told = {name: str(path) for name, path in folders.items()} | {
        "file": str(file.absolute()), "claims": {name: str(path.absolute()) for name, path in found.items()},
        "parameters": parameters, "python": sys.executable, "python_folders": _python_folders(),
        "code": str(_PROJECT), "image_code": IMAGE_CODE, "environment": _environment(), "unshare": namespace(),
        "pod": str(_HERE / "kubeflow_pod.py"), "results": str(out / "results.json"),
    }  # fmt: skip
    (out / "results.json").unlink(missing_ok=True)
    (out / "told.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    with open(out / "run.log", "w", encoding="utf-8") as log:
        # Isolated: modules beside the driver have names that packages of that environment have too.
        driver = [python, "-I", _HERE / "kfp_driver.py", out / "told.json"]
        ran = subprocess.Popen(driver, stdout=log, stderr=subprocess.PIPE, text=True, env=_clean(os.environ))
        for line in ran.stderr:
            log.write(line)
            if verbose or re.match(r"\d\d:\d\d:\d\d \S+ [\d.]+ s", line):
                print(line, end="", flush=True)
    if ran.wait() or not (out / "results.json").exists():
        raise LocalError(_why(out, compiled.steps), 1)
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def pushed(results: dict[str, Any], out: pathlib.Path, file: pathlib.Path, claims: dict[str, pathlib.Path]) -> str:
    """Path, on this machine, of the model that was pushed; "" if none was, or none of it is left."""
    (artifact,) = results["Pusher"]["artifacts"]["pushed_model"]["artifacts"]
    path = artifact.get("metadata", {}).get("pushed_destination", "")
    for claim, mount in read(file).claims.items():
        if path.startswith(mount + "/"):
            return str(claims.get(claim, out / "claims" / claim) / path.removeprefix(mount + "/"))
    return ""


def _why(out: pathlib.Path, steps: list[str]) -> str:
    """The step that failed and its last words."""
    logs = sorted((out / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs or logs[-1].stem not in steps:
        return f"no step began; {out / 'run.log'} says why"
    lines = [line.strip() for line in logs[-1].read_text(errors="replace").splitlines() if line.strip()]
    return f"{logs[-1].stem}: {lines[-1] if lines else 'no message'} (more in {logs[-1]} and run.log)"


def _python_folders() -> list[str]:
    """What this Python needs to be seen: its environment and where it was installed, but for the system's folders."""
    known = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix),
             str(pathlib.Path(os.path.realpath(sys.executable)).parent.parent)}  # fmt: skip
    return sorted(path for path in known if not path.startswith("/usr"))


def _environment() -> dict[str, str]:
    """The image's variables, and those of this machine that decide how numbers are computed and on what."""
    kept = {k: v for k, v in os.environ.items() if k.startswith(_NUMERIC) or k == "LD_LIBRARY_PATH"}
    return kept | {"PATH": os.environ["PATH"], "PYTHONPATH": IMAGE_CODE, "TF_CPP_MIN_LOG_LEVEL": "2", "HOME": "/tmp"}


def _clean(environment) -> dict[str, str]:
    """Variables without those that would lead another Python to this one's packages."""
    return {k: v for k, v in environment.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
