"""Trained models as SavedModels that any TensorFlow serves.

Beside the graph a model keeps what `models.publishing.pushed` writes: recipe, configuration, fingerprint, and the
weights, from which another training can start (`Config.init`).
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from models.contract.recipe import Config, Recipe
from models.files import replacing
from models.publishing import parts, pushed


def export(
    recipe: Recipe,
    config: Config,
    model: keras.Model,
    directory: str,
    *,
    examples: Sequence[str] = (),
    trained_by: Mapping[str, Any] | None = None,
) -> None:
    """Writes the SavedModel with the recipe's signatures; complete or not at all.

    Args:
      recipe, config, model: what was trained; of it that is written which the recipe says is served.
      directory: is created; must be empty or missing.
      examples: files of the training records, for what the recipe writes beside the graph; without them it does not.
      trained_by: recipe and configuration that made the model, if those given do not say it.

    Raises:
      FileExistsError: something is there already.
      ValueError: the graph uses ops that a plain TensorFlow does not know.
    """
    trained = recipe, model, config
    if recipe.served:
        trained_by = {"recipe": recipe.name, "config": dataclasses.asdict(config)}
        recipe, model, config = recipe.served(model, config)
    target = pathlib.Path(directory)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{directory} is not empty; a model is exported to a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        # Half precision pays on accelerators alone: on a processor a picture would take a hundred times as long.
        plain = pushed.anew(recipe, dataclasses.replace(config, precision="float32"), model)
        _write(recipe, config, plain, part, trained_by)
        if recipe.beside and examples:
            recipe.beside(plain, config, examples, part / pushed.EXTRA)
        if trained[0] is not recipe and trained[0].beside and examples:
            trained[0].beside(*trained[1:], examples, part / pushed.EXTRA)


def _write(recipe: Recipe, config: Config, model: keras.Model, temporary: pathlib.Path, trained_by) -> None:
    """Writes all that `export` promises to a folder that does not exist."""
    module = recipe.signatures(model, config)
    # A Keras layer saves copies of its variables, and the restore op would fill those alone. Python's loader would
    # give both one value; that of servers leaves what the signatures read unset.
    module.restored = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(temporary), signatures=module.functions)
    if foreign := foreign_ops(str(temporary)):
        raise ValueError(f"{recipe.name} uses ops that no plain TensorFlow serves: {', '.join(sorted(foreign))}")
    parts.write(temporary)
    more = {"trained_by": trained_by} if trained_by else {}
    if reads := getattr(module, "reads", ()):
        more["reads"] = [f"{fingerprint:08x}" for fingerprint in reads]
    if (lossless := getattr(module, "lossless", None)) is not None:  # of a codec
        more["lossless"] = lossless
    tables = getattr(module, "tables", None)
    pushed.save(temporary, recipe, config, model, tables, fingerprint=f"{module.fingerprint:08x}", **more)


def fingerprint_of(
    form: str, model: keras.Model, config: Config, tables: Mapping[str, np.ndarray] | None = None
) -> int:
    """A number below 2^32 that tells apart models whose answers differ.

    Args:
      form: what the code makes of a model, as far as that has changed.
      model: its class counts, and all its weights, trained or not.
      config: its options count but for those that every system has, which are of training, and those that say so.
      tables: arrays by name; all of them count.
    """
    left_out = {field.name for field in dataclasses.fields(Config)}
    left_out |= {field.name for field in dataclasses.fields(config) if not field.metadata.get("in_fingerprint", True)}
    options = {name: value for name, value in dataclasses.asdict(config).items() if name not in left_out}
    digest = hashlib.sha256(json.dumps([form, type(model).__name__, options], sort_keys=True).encode())
    for name, values in [*(("", w.numpy()) for w in model.weights), *sorted((tables or {}).items())]:
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return int.from_bytes(digest.digest()[:4], "little")


def used_ops(directory: str) -> set[str]:
    """Names of the ops of every node in every graph and function of a SavedModel."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    used = set()
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        functions = {f.signature.name for f in graph.library.function}
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        used |= {node.op for node in nodes} - functions
    return used


def foreign_ops(directory: str) -> set[str]:
    """The ops of a SavedModel that are not TensorFlow's own (`tf.raw_ops` lists those, whatever else is loaded)."""
    return used_ops(directory) - set(dir(tf.raw_ops))
