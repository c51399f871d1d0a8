"""What TensorFlow Serving reads beside the pushed models: which versions it serves, under which labels, and in batches.

The server takes a configuration only if every label that moves points to a version that it has loaded, and it checks
that before it loads what is new (`ServerCore::ReloadConfig`). So a pushed version is first listed, with the labels
where they were, and the labels follow when the server says that it has loaded it. At a first start there is no loaded
version at all, which `--allow_version_labels_for_unavailable_models` lets pass: for labels that are not in use.
"""

import importlib.metadata
import os
import pathlib
import types
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.serving.served_codec import describe
from models.contract import registry
from models.contract.errors import KompaktError
from models.files import write_text
from models.publishing import pushed

CONFIG_DIR, MODELS_DIR = "/config", "/models"  # in the server's container
GRPC_PORT, REST_PORT = 8500, 8501
BATCH = 32  # requests of a batch at most; the client sends as many in one, and a server refuses more

_PADDED = "pad_variable_length_inputs: true\n"
_BATCHING = """max_batch_size {{ value: {batch} }}
batch_timeout_micros {{ value: 0 }}
num_batch_threads {{ value: {cores} }}
max_enqueued_batches {{ value: 100 }}
{sizes}
"""


class ServingConfigError(KompaktError, ValueError):
    """A folder that holds no model, or a configuration that is none; the message is one line."""


class Served(NamedTuple):
    """A model to serve: its name, its folder of versions on this machine, and what its recipe says.

    Attributes:
      batching: whether requests of several clients may be one batch. padded: whether their inputs differ in length.
    """

    name: str
    folder: pathlib.Path
    batching: bool = False
    padded: bool = False


class Stage(NamedTuple):
    """What a configuration says of one model: the versions to load, and the version of each label."""

    versions: tuple[int, ...]
    labels: dict[str, int]


class Written(NamedTuple):
    """The files, and by name of a model the versions that the server must load before the labels can move to them."""

    files: tuple[pathlib.Path, ...]
    awaited: dict[str, tuple[int, ...]]


def served_at(name: str, folder: pathlib.Path, *, batch_recordings: bool = False) -> Served:
    """A folder of versions as it is to be served, by what the newest of them says of itself.

    Args:
      batch_recordings: whether requests with recordings may be batched, padded to the longest of a batch.

    Raises:
      ServingConfigError: there is no version.
    """
    newest = folder / str(versions_of(folder)[-1])
    try:
        recipe = registry.get(describe(newest).get("recipe", ""))
    except KompaktError:
        return Served(name, folder)  # not of this project: nobody knows whether it may be batched
    padded = recipe.data == "recordings"
    return Served(name, folder, recipe.batching and (batch_recordings or not padded), padded)


def write_beside(push_dir: pathlib.Path) -> pathlib.Path:
    """Writes the configuration of a serving folder, its model under the folder's name, into a folder beside it.

    Returns:
      That folder, `NAME.config`.

    Raises:
      ServingConfigError: as `write_configuration`.
    """
    out = push_dir.with_name(f"{push_dir.name}.config")
    out.mkdir(exist_ok=True)
    write_configuration(out, [served_at(push_dir.name, push_dir)], os.cpu_count() or 1)
    return out


def versions_of(folder: pathlib.Path) -> list[int]:
    """The complete versions of a serving folder, the oldest first. Raises ServingConfigError: there is none."""
    if not (versions := list(pushed.versions(folder))):
        raise ServingConfigError(
            f"{folder}: holds no pushed model (a folder with a number for its name, and saved_model.pb in it)"
        )
    return versions


def next_stage(found: Sequence[int], before: Stage | None, loaded: Collection[int]) -> Stage:
    """What the configuration is to say now: `canary` is the newest version, `stable` the one before it.

    Args:
      found: versions that there are, ascending. before: what the configuration said, None if it was silent.
      loaded: what the server has loaded.
    """
    wanted = {"canary": found[-1], "stable": found[-2] if len(found) > 1 else found[-1]}
    moving = {} if before is None else {label: v for label, v in wanted.items() if before.labels.get(label, v) != v}
    labels = wanted if set(moving.values()) <= set(loaded) else wanted | before.labels
    return Stage(tuple(sorted({*wanted.values(), *labels.values()})), labels)


def write_configuration(
    out: pathlib.Path,
    models: Sequence[Served],
    cores: int,
    loaded: Mapping[str, Collection[int]] = types.MappingProxyType({}),
) -> Written:
    """Writes `models.config` and, if all the models may be batched, `batching.config`.

    A codec, for one, takes the pictures of a batch one after the other, so a batch saves nothing, and one picture or
    stream that is refused would fail the whole batch, which the server makes of the requests of several clients. The
    server has one file for all its models, so one codec among them leaves all unbatched.

    Args:
      out: the folder of the files, which the server sees as CONFIG_DIR. cores: of the machine that serves.
      loaded: by name the versions that the server has loaded; of a model that is not named nobody knows.

    Raises:
      ServingConfigError: a folder holds no version, or the file of an earlier call is damaged.
    """
    path, batching = out / "models.config", out / "batching.config"
    earlier = read(path)
    stages = {m.name: next_stage(versions_of(m.folder), earlier.get(m.name), loaded.get(m.name, ()))
              for m in models}  # fmt: skip
    is_batched = all(model.batching for model in models)
    flags = server_flags(is_batched)
    write_text(path, _head(flags) + text_format.MessageToString(_message(stages)))
    files = [path]
    if is_batched:
        write_text(batching, _batching_text(cores, any(model.padded for model in models)))
        files.append(batching)
    else:
        batching.unlink(missing_ok=True)  # one of an earlier call would go on mixing requests
    ahead = {name: tuple(sorted(set(stage.versions) - set(stage.labels.values()))) for name, stage in stages.items()}
    return Written(tuple(files), {name: versions for name, versions in ahead.items() if versions})


def read(path: pathlib.Path) -> dict[str, Stage]:
    """What a configuration file says, by name of the model; nothing without a file. Raises ServingConfigError."""
    try:
        said = text_format.Parse(path.read_text(encoding="utf-8"), model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        return {}
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ServingConfigError(f"{path}: no configuration of TensorFlow Serving ({error}); remove it") from error
    return {
        config.name: Stage(tuple(config.model_version_policy.specific.versions), dict(config.version_labels))
        for config in said.model_config_list.config
    }


def server_flags(is_batched: bool) -> list[str]:
    """The arguments of `tensorflow_model_server` for the files, as its container sees them."""
    flags = [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_DIR}/models.config",
        "--model_config_file_poll_wait_seconds=10",
        "--allow_version_labels_for_unavailable_models=true",
    ]
    batched = ["--enable_batching=true", f"--batching_parameters_file={CONFIG_DIR}/batching.config"]
    return flags + batched * is_batched


def default_image() -> str:
    """The server's image of the version whose messages are used here."""
    return f"tensorflow/serving:{importlib.metadata.version('tensorflow-serving-api')}"


def docker_command(out: pathlib.Path, models: Sequence[Served], flags: Sequence[str], image: str) -> str:
    """The command that serves the models with Docker on this machine."""
    mounts = [(out, CONFIG_DIR), *((model.folder, f"{MODELS_DIR}/{model.name}") for model in models)]
    words = ["docker run --rm", f"-p {GRPC_PORT}:{GRPC_PORT} -p {REST_PORT}:{REST_PORT}"]
    words += [f'-v "{folder.absolute()}:{place}:ro"' for folder, place in mounts]
    return " ".join([*words, "--entrypoint tensorflow_model_server", image, *flags])


def _head(flags: Sequence[str]) -> str:
    lines = ["Written by kompakt; tensorflow_model_server wants these arguments beside it:", *flags]
    return "".join(f"# {line}\n" for line in lines)


def _message(stages: dict[str, Stage]) -> model_server_config_pb2.ModelServerConfig:
    message = model_server_config_pb2.ModelServerConfig()
    for name, stage in stages.items():
        config = message.model_config_list.config.add(
            name=name, base_path=f"{MODELS_DIR}/{name}", model_platform="tensorflow"
        )
        config.model_version_policy.specific.versions.extend(stage.versions)
        config.version_labels.update(stage.labels)
    return message


def _batching_text(cores: int, padded: bool) -> str:
    """Padding repeats the first value of an input behind it; `length` tells the models of recordings where that is."""
    sizes = [2**k for k in range(BATCH.bit_length())]
    text = _BATCHING.format(batch=BATCH, cores=cores, sizes="\n".join(f"allowed_batch_sizes: {n}" for n in sizes))
    return text + _PADDED * padded
