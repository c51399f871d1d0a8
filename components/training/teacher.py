"""Teachers as artifacts: a model of the user's own taken into the pipeline, and what a teacher says of pictures."""

import dataclasses
import json
import os
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelRun
from tfx.utils import path_utils

from components import artifacts
from components.training import kept
from components.training.trainer import ROUTE
from models.contract.recipe import ConfigError
from models.distillation import inputs, stages, student, teacher
from models.distillation import route as routes
from models.records import pictures as picture_records


def digest(path: str) -> str:
    """Digest of a teacher's files; raises ConfigError if there are none."""
    if not os.path.exists(path):
        raise ConfigError(f"teacher={path}: neither a recipe's name nor a path that exists")
    return artifacts.tree_digest(path)


@component
def GivenTeacher(  # noqa: N802 (TFX components are nouns)
    model: OutputArtifact[Model],
    path: Parameter[str],
    content: Parameter[str],
) -> None:
    """Copies a teacher of the user's own into the pipeline, so that the run keeps what it learned from.

    Args:
      model: the copy. path: a pushed model, a `.keras` file or a SavedModel. content: `digest` of it, for the cache.

    Raises:
      ConfigError: nothing there can be used as a teacher, or it has changed since the run began.
    """
    take(path, content, model.uri)


def take(path: str, content: str, uri: str) -> None:
    """Copies a teacher into a model artifact's folder; raises as `GivenTeacher`."""
    if content and digest(path) != content:
        raise ConfigError(f"teacher={path}: changed while the pipeline started; run it again")
    teacher.load(path)
    target = path_utils.serving_model_dir(uri)
    if os.path.isfile(path):
        os.makedirs(target)
        shutil.copy(path, target)
    else:
        shutil.copytree(path, target)


@component
def Anchors(  # noqa: N802 (TFX components are nouns)
    model_run: InputArtifact[ModelRun],
    route: OutputArtifact[Model],
    positions: Parameter[str],
) -> None:
    """Picks the checkpoints of a teacher's route that a student may follow.

    Args:
      model_run: of a teacher that kept its route. route: a folder for each anchor, named by its epoch.
      positions: how many at equal intervals; "all" for a search among all of them.

    Raises:
      ConfigError: the teacher kept no route.
    """
    pick(model_run.uri, route.uri, positions)


def pick(run_dir: str, uri: str, positions: str) -> None:
    """Copies checkpoints of a model run's route into a model artifact's folder; see `Anchors`."""
    found = routes.checkpoints(os.path.join(run_dir, ROUTE))
    chosen = range(len(found)) if positions == "all" else routes.equal_epochs(len(found), int(positions))
    target = path_utils.serving_model_dir(uri)
    for place in chosen:
        shutil.copytree(found[place], os.path.join(target, found[place].name))


@component
def TeacherOutputs(  # noqa: N802 (TFX components are nouns)
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    outputs: OutputArtifact[Examples],
    config: Parameter[str],
) -> None:
    """Writes the training and validation records again, each with the teacher's logits and features of its picture.

    Args:
      examples: records. model: the teacher.
      outputs: the same records with features `teacher/<name>`, see `components.training.kept`.
      config: all options of the distillation, JSON.

    Raises:
      ConfigError: the teacher does not fit the data, its answers are unusable, or a feature is missing.
    """
    write_outputs(examples, model, outputs, config)


@component
def TeacherEmbeddings(  # noqa: N802 (TFX components are nouns)
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    outputs: OutputArtifact[Examples],
    range: Parameter[str],  # noqa: A002 (as the option's end is called)
    size: Parameter[int],
    central: Parameter[float],
) -> None:
    """Writes the training and validation records again, each with a teacher's embedding of its picture as it is.

    Args:
      examples: records. model: the teacher. outputs: the same records with the feature `teacher/embedding`.
      range: of the pixels of a teacher that is not ours. size: of the pictures, if it has no size of its own.
      central: share of their shorter side that a teacher sees that is not ours.

    Raises:
      ConfigError: it cannot be used as a teacher, gives no embedding, or has none of a picture.
    """
    write_embeddings(examples, model, outputs, range, size, central)


def write_embeddings(examples, model, outputs, pixel_range: str, size: int, central: float) -> None:
    """What `TeacherEmbeddings` does, with its artifacts."""
    found = teacher.load(artifacts.saved_model_dir(model), range=pixel_range, output=teacher.EMBEDDING)
    found.must_embed()
    if not found.is_ours:
        found = dataclasses.replace(found, central=central)
    if found.network is not None and not (found.side or size):
        raise ConfigError(f"teacher={found.path}: takes pictures of any size; set image_size")
    kept.write(
        examples, outputs, found.of_records([teacher.EMBEDDING], size), picture_records.SPLITS[:2], inputs.CACHED
    )


def write_outputs(examples, model, outputs, config: str) -> None:
    """What `TeacherOutputs` does, with its artifacts."""
    splits = picture_records.SPLITS[:2]
    options = json.loads(config) | {"teacher": artifacts.saved_model_dir(model)}
    config = stages.both(student.StudentConfig(**options))
    adapted = student.adapt(config, artifacts.split_files([examples], splits[0]))
    say = teacher.given(adapted).of_records(adapted.teacher_names, adapted.image_size)
    kept.write(examples, outputs, say, splits, inputs.CACHED)
