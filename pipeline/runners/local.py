"""Runs a pipeline on this machine: one line per component, times, a lock per output folder, and a clear end."""

import contextlib
import dataclasses
import datetime
import fcntl
import logging
import os
import pathlib
import re
import time
import traceback
import warnings

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb
from rich.console import Console
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import executable_spec_pb2

from components.artifacts import pushed_versions
from models.contract.errors import KompaktError
from pipeline.runners import beam_steps

_DONE, _CACHED = pb.Execution.COMPLETE, pb.Execution.CACHED


class RunError(KompaktError, RuntimeError):
    """A run that cannot start or go on; one line for the user. `status` is the exit code (2: the input is at fault)."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


@dataclasses.dataclass
class Step:
    """What became of one component: `state` is "done" or "cached", `seconds` is what the work took when it was done."""

    name: str
    state: str
    seconds: float
    upstream: list[str]
    outputs: dict[str, pb.Artifact]


@contextlib.contextmanager
def locked(out: pathlib.Path):
    """Holds the output folder for one run at a time; the system lets go of it even after a kill.

    Raises:
      RunError: the folder cannot be made or written, or another run holds it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = open(out / ".lock", "a")
    except OSError as error:
        raise RunError(f"--out {out}: cannot be written ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"--out {out}: another run is using it; wait for it or choose another folder") from None
        yield


@contextlib.contextmanager
def logs_to(path: pathlib.Path, verbose: bool):
    """Sends the logs of TFX, Beam and TensorFlow to a file; to the terminal only when asked.

    Raises:
      RunError: the file cannot be written.
    """
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    except OSError as error:
        raise RunError(f"{path}: the log cannot be written ({error.strerror})") from error
    if verbose:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("absl", "tensorflow"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.INFO)
    root.handlers[:] = handlers
    root.setLevel(logging.INFO)
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            root.handlers[:] = before
            root.setLevel(level)
            handlers[0].close()


class Runner(local_dag_runner.LocalDagRunner):
    """TFX's local runner (same launcher, same cache), which also reports every component and keeps what came of it."""

    def __init__(self, console: Console, up_to: str = ""):
        super().__init__()
        self.steps: list[Step] = []
        self._console, self._up_to = console, up_to

    def run_with_ir(self, pipeline, run_options=None) -> None:
        """Runs the compiled pipeline's components in order; the first that fails ends the run with RunError."""
        run_id = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.datetime.now().isoformat()}
        runtime_parameter_utils.substitute_runtime_parameter(pipeline, run_id)
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = deployment.metadata_connection_config
        connection = getattr(connection, connection.WhichOneof("connection_config"))
        self._store = store_of(connection)
        _forget_old_pushes(self._store)
        for node in _up_to([n.pipeline_node for n in pipeline.nodes], self._up_to):
            self._run_node(node, pipeline, deployment, connection)

    def _run_node(self, node, pipeline, deployment, connection) -> None:
        name = node.node_info.id
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {name} ...")
        component = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, name),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            custom_executor_operators={executable_spec_pb2.BeamExecutableSpec: beam_steps.Operator},
        )
        try:
            info = component.launch()
        except Exception as error:
            logging.error("%s failed\n%s", name, traceback.format_exc())
            status = error.status if isinstance(error, KompaktError) else 1
            raise RunError(f"{name}: {_first_line(error)}", status) from error
        executions = self._store.get_executions_by_id([info.execution_id]) if info.execution_id else []
        if not executions or executions[0].last_known_state not in (_DONE, _CACHED):
            raise RunError(f"{name} did not run; run.log says why", 1)
        execution = executions[0]
        state = "done" if execution.last_known_state == _DONE else "cached"
        seconds, outputs = self._facts(execution)
        step = Step(name, state, seconds, list(node.upstream_nodes), outputs)
        self.steps.append(step)
        took = f"{step.seconds:.1f} s" if state == "done" else f"unchanged, from the cache ({step.seconds:.1f} s then)"
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] [green]{name}[/] {took}")

    def _facts(self, execution: pb.Execution) -> tuple:
        """Seconds that the work took (in the run that did it) and the outputs by key."""
        events = [e for e in self._store.get_events_by_execution_ids([execution.id]) if e.type == pb.Event.OUTPUT]
        ids = {e.artifact_id: e.path.steps[0].key for e in events}
        outputs = {ids[a.id]: a for a in self._store.get_artifacts_by_id(list(ids))}
        events = self._store.get_events_by_artifact_ids(list(ids))
        makers = [e.execution_id for e in events if e.type == pb.Event.OUTPUT]
        done = [e for e in self._store.get_executions_by_id(makers) if e.last_known_state == _DONE] or [execution]
        spans = [(e.last_update_time_since_epoch - e.create_time_since_epoch) / 1000 for e in done]
        return max(spans), outputs


def run(pipeline, console: Console, up_to: str = "") -> list[Step]:
    """Runs a pipeline, or of it one component (the last step then) and what it needs; returns its steps in order.

    Raises:
      RunError: a component failed.
    """
    runner = Runner(console, up_to)
    runner.run(pipeline)
    return runner.steps


def store_of(connection) -> mlmd.MetadataStore:
    """The record of what was run. Raises RunError: its file is damaged, or of another version."""
    try:
        return mlmd.MetadataStore(connection)
    except (mlmd.errors.StatusError, RuntimeError) as error:
        path, said = connection.sqlite.filename_uri, str(error).partition("\n")[0].rstrip(":. ")
        raise RunError(f"{path}: cannot be used ({said}); without it every step is run again") from error


def _up_to(nodes: list, name: str) -> list:
    """Of nodes in topological order the one of that name and all that it needs; all of them without a name."""
    if not name:
        return nodes
    wanted = {name}
    for node in reversed(nodes):
        if node.node_info.id in wanted:
            wanted |= set(node.upstream_nodes)
    return sorted((n for n in nodes if n.node_info.id in wanted), key=lambda n: n.node_info.id == name)


def _forget_old_pushes(store: mlmd.MetadataStore) -> None:
    """Marks pushed models that are not the newest of their serving folder, so that the cache does not answer with them.

    They were deleted, or another model was pushed after them; the Pusher then makes the run's model the newest again.
    """
    try:
        pushed = store.get_artifacts_by_type("PushedModel")
    except mlmd.errors.NotFoundError:
        return
    for artifact in pushed:
        path = artifact.custom_properties["pushed_destination"].string_value
        newest = next(iter(pushed_versions(os.path.dirname(path))), None) if path else None
        if path and artifact.state == pb.Artifact.LIVE and (newest is None or newest.path != path):
            artifact.state = pb.Artifact.DELETED
            store.put_artifacts([artifact])


def _first_line(error: BaseException) -> str:
    if isinstance(error, KompaktError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    # Errors from inside a graph begin with "in user code:" and name the reason after a traceback.
    named = [line for line in lines if re.match(r"[A-Za-z.]*(Error|Exception): ", line)]
    line = named[-1] if named and lines[0].endswith(":") else lines[0]
    line = line.removeprefix(f"{type(error).__name__}: ")
    return f"{type(error).__name__}: {line} (more in run.log)"
