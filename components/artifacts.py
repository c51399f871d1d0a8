"""What components read and write beside their outputs: digests for the cache, a model's origin, pushed versions."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import typing
from collections.abc import Mapping, Sequence

from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils, path_utils

from models.contract.recipe import Config, Recipe

# TFX packs itself anew for the workers of each Beam step, for seconds, unless an image is named that holds it; the
# direct runner has no other workers and takes none.
LOCAL_BEAM = ("--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none")
ORIGIN = "assets.extra/origin.json"
MOST = 10  # models of a role that one step takes


class HtmlReport(artifact.Artifact):
    """A folder with `report.html` and the numbers it was made from, `report.json`."""

    # Kubeflow demands <package>.<Name> and imports the class by it: components/__init__.py answers.
    TYPE_NAME = "components.HtmlReport"


class ComparisonTable(artifact.Artifact):
    """A folder with a row a model (`components.evaluation.comparison`)."""

    TYPE_NAME = "components.ComparisonTable"


def pipeline_name(recipe: str) -> str:
    """Name of the pipeline that trains a recipe (Kubeflow allows lower case, digits and hyphens)."""
    return "kompakt-" + recipe.lower().replace("_", "-")


def digest(*values: typing.Any) -> str:
    """Sixteen hexadecimal digits that follow the JSON form of the values; equal values give equal digits anywhere."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tree_digest(path: str) -> str:
    """Digest of a file, or of all files of a folder by their paths in it; nothing there has one too."""
    files = [path] if os.path.isfile(path) else [os.path.join(f, n) for f, _, names in os.walk(path) for n in names]
    return digest({os.path.relpath(f, path): _file_digest(f) for f in sorted(files)})


def _file_digest(path: str) -> str:
    """SHA-256 of a file's content, hex."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def split_files(examples: list, split: str) -> list[str]:
    """Paths of the record files of one split of Examples artifacts, sorted."""
    folders = artifact_utils.get_split_uris(examples, split)
    return sorted(f for folder in folders for f in fileio.glob(f"{folder}/*"))


def saved_model_dir(model) -> str:
    """Where the SavedModel lies inside a Model artifact."""
    return path_utils.serving_model_path(model.uri)


def copy_within(source: str, target: str) -> None:
    """Copies a folder from one artifact to another, by hard links where there are some: artifacts never change."""

    def link(file: str, place: str) -> None:
        try:
            os.link(file, place)
        except OSError:  # another file system, or one without links
            shutil.copy(file, place)

    if os.path.isdir(source):
        shutil.copytree(source, target, copy_function=link)
    else:  # an object store's
        io_utils.copy_dir(source, target)


def several_models(role: str) -> dict[str, component_spec.ChannelParameter]:
    """Inputs of a step that takes up to MOST models of a role: ROLE_0, ROLE_1, ..., each optional."""
    model = standard_artifacts.Model
    return {f"{role}_{n}": component_spec.ChannelParameter(type=model, optional=True) for n in range(MOST)}


def numbered(role: str, values: Sequence) -> dict[str, typing.Any]:
    """Values under the names that `several_models` gives their inputs."""
    return {f"{role}_{n}": value for n, value in enumerate(values)}


def origin_of(recipe: Recipe, config: Config, run: str) -> dict[str, typing.Any]:
    """The note of a model's origin: what made it (`run`), and what must agree before another is compared with it."""
    evaluation = recipe.evaluation
    return {
        "run": run,
        "recipe": recipe.name,
        "metrics": [m.name for m in evaluation.metrics],
        "comparable": {name: getattr(config, name) for name in evaluation.comparable},
    }


def write_origin(model_dir: str, origin: Mapping[str, typing.Any]) -> None:
    """Notes beside the SavedModel what it was made from; the note is pushed with it."""
    fileio.makedirs(str(pathlib.PurePosixPath(model_dir) / "assets.extra"))
    with fileio.open(f"{model_dir}/{ORIGIN}", "w") as file:
        file.write(json.dumps(dict(origin), indent=2, sort_keys=True))


def read_origin(model_dir: str) -> dict[str, typing.Any]:
    """The note of a model's origin, {} without one."""
    if not fileio.exists(f"{model_dir}/{ORIGIN}"):
        return {}
    with fileio.open(f"{model_dir}/{ORIGIN}", "r") as file:
        return json.loads(file.read())


@dataclasses.dataclass(frozen=True)
class PushedVersion:
    """A model in a serving folder: its path, its version number and the note of its origin ({} without one)."""

    path: str
    version: int
    origin: Mapping[str, typing.Any]


def pushed_versions(push_dir: str) -> list[PushedVersion]:
    """Complete models of a serving folder, newest version first. An absent folder holds none."""
    found = []
    for name in fileio.listdir(push_dir) if fileio.isdir(push_dir) else ():
        name = name.rstrip("/")
        path = f"{push_dir}/{name}"
        if not name.isdigit() or not fileio.exists(f"{path}/saved_model.pb"):
            continue
        found.append(PushedVersion(path, int(name), read_origin(path)))
    return sorted(found, key=lambda v: v.version, reverse=True)
