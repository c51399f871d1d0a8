"""The step that pushes: TFX's Pusher, but the newest version of the serving folder is always the one that it names."""

import os
import pathlib

from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, proto_utils

from components import artifacts
from components.serving import configuration
from models import files
from models.publishing import pushed


class Executor(executor.Executor):
    """Copies a blessed model to a version above all others, complete or not at all; see Pusher."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802 (TFX's name)
        """Pushes, or notes that there is nothing to push."""
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[keys.PUSHED_MODEL_KEY])
        fileio.makedirs(pushed.uri)
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = proto_utils.json_to_proto(
            exec_properties[keys.PUSH_DESTINATION_KEY], pusher_pb2.PushDestination()
        )
        version = push(self.GetModelPath(input_dict), destination.filesystem.base_directory)
        self._MarkPushed(pushed, pushed_destination=version.path, pushed_version=str(version.version))


class Pusher(component.Pusher):
    """TFX's Pusher with `push`. The artifact holds no copy of the model: its properties say where it was pushed."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def push(model_dir: str, push_dir: str) -> artifacts.PushedVersion:
    """Makes a model the newest version of a serving folder; if it is so already, nothing is copied.

    Versions are seconds since 1970, or one more than the newest. Runs that push to one folder wait for each other. What
    TensorFlow Serving reads (`configuration`) is written beside the folder.
    """
    fileio.makedirs(push_dir)
    with files.held(os.path.join(push_dir, ".lock")):
        newest = next(iter(artifacts.pushed_versions(push_dir)), None)
        if newest is None or artifacts.tree_digest(newest.path) != artifacts.tree_digest(model_dir):
            taken = [int(name) for n in fileio.listdir(push_dir) if (name := n.rstrip("/")).isdigit()]
            target = os.path.join(push_dir, str(pushed.next_version(taken)))
            part = os.path.join(push_dir, ".part")
            if fileio.exists(part):  # of a push that was killed
                fileio.rmtree(part)
            io_utils.copy_dir(model_dir, part)
            fileio.rename(part, target)
            newest = artifacts.pushed_versions(push_dir)[0]
        configuration.write_beside(pathlib.Path(push_dir))
    return newest
