"""What the metadata store of an output folder knows of its runs: when, which recipe, what came of each."""

import contextlib
import dataclasses
import fcntl
import logging
import pathlib
from collections.abc import Mapping, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb

from components import artifacts
from components.evaluation import evaluator
from models.contract import registry
from pipeline.runners import local

STORE = "metadata.sqlite"
_STATES = {pb.Execution.NEW: "begun", pb.Execution.RUNNING: "begun", pb.Execution.COMPLETE: "done",
           pb.Execution.CACHED: "done"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a pipeline.

    Attributes:
      when: its beginning (local time, ISO 8601). pipeline: its name. recipe: what it trains.
      steps: "done", "begun" or "failed" by step.
      artifacts: all that its steps gave. began: when its first step did, seconds since 1970 (infinite: none did).
      alive: whether a process runs it now.
    """

    when: str
    pipeline: str
    recipe: str
    steps: Mapping[str, str]
    artifacts: Sequence[pb.Artifact]
    began: float
    alive: bool

    @property
    def state(self) -> str:
        """What came of it, in a few words."""
        for state, said in (("failed", "failed"), ("begun", "running" if self.alive else "interrupted")):
            if stuck := [name for name, found in self.steps.items() if found == state]:
                return f"{said} at {stuck[-1]}"
        if "Pusher" in self.steps:
            return "pushed" if self.pushed else "not blessed"
        return "running" if self.alive else f"ended after {next(reversed(self.steps))}" if self.steps else "not begun"

    @property
    def pushed(self) -> str:
        """The folder of the model that it pushed or found pushed already; "" of none."""
        for one in self.artifacts:
            if one.type == "PushedModel" and one.custom_properties["pushed"].int_value:
                return one.custom_properties["pushed_destination"].string_value
        return ""

    @property
    def model(self) -> pathlib.Path | None:
        """The folder of the model that was checked, served or not; None where there is none any more."""
        places = [self.pushed] if self.pushed else []
        places += [f"{one.uri}/stamped_model" for one in self.artifacts if one.type == "InfraBlessing"]
        return next(
            (pathlib.Path(place) for place in places if (pathlib.Path(place) / "saved_model.pb").is_file()), None
        )

    def figures(self) -> dict[str, float]:
        """Means of the recipe's main metrics on the test split, by name; empty where none were measured or are left."""
        found = [one.uri for one in self.artifacts if one.type == "ModelEvaluation" and pathlib.Path(one.uri).is_dir()]
        if not found or self.recipe not in registry.recipes():
            return {}
        with contextlib.suppress(OSError, ValueError), _quiet():  # an evaluation that was cut off
            means = evaluator.means(found[-1])
            metrics = registry.get(self.recipe).evaluation.metrics
            return {m.name: means[m.name] for m in metrics if not m.detail and m.name in means}
        return {}


def open_store(out: pathlib.Path, write: bool = False) -> mlmd.MetadataStore:
    """The metadata store of an output folder.

    Raises:
      RunError: no such folder, no store in it, or one that cannot be read.
    """
    path = out / STORE
    if not path.is_file():
        raise local.RunError(
            f"{out}: no {STORE} here; give the --out folder of a run" if out.is_dir() else f"{out}: no such folder"
        )
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    kind = pb.SqliteMetadataSourceConfig
    connection.sqlite.connection_mode = kind.READWRITE if write else kind.READONLY
    return local.store_of(connection)


def runs_of(out: pathlib.Path) -> list[Run]:
    """The runs of an output folder, the newest first. Raises RunError as `open_store` does."""
    return read(open_store(out), held(out))


def read(store: mlmd.MetadataStore, alive: bool = False) -> list[Run]:
    """The runs of a store, the newest first.

    Args:
      alive: whether a process holds the output folder, so that what has begun still runs.

    Raises:
      RunError: the store is damaged.
    """
    try:
        contexts = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda c: c.name, reverse=True)
        return [_run(store, context, alive and n == 0) for n, context in enumerate(contexts)]
    except mlmd.errors.NotFoundError:  # nothing was run yet
        return []
    except mlmd.errors.StatusError as error:
        raise local.RunError(f"the record of the runs is damaged ({str(error).partition(chr(10))[0]})") from error


def held(out: pathlib.Path) -> bool:
    """Whether a run holds the output folder now."""
    try:
        with open(out / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock yet, or one of another user
        pass
    return False


@contextlib.contextmanager
def _quiet():
    """Keeps TensorFlow from warning of functions that the evaluation's own library uses."""
    logger = logging.getLogger("tensorflow")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _run(store: mlmd.MetadataStore, context: pb.Context, alive: bool) -> Run:
    executions = sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)
    steps, pipeline = {}, ""
    for execution in executions:
        node = next(c.name for c in store.get_contexts_by_execution(execution.id) if c.type == "node")
        pipeline, _, step = node.rpartition(".")
        steps[step] = _STATES.get(execution.last_known_state, "failed")
    names = {artifacts.pipeline_name(recipe.name): recipe.name for recipe in registry.headlines()}
    found = sorted(store.get_artifacts_by_context(context.id), key=lambda a: a.id)
    began = min((e.create_time_since_epoch / 1000 for e in executions), default=float("inf"))
    return Run(context.name, pipeline, names.get(pipeline, pipeline), steps, found, began, alive)
