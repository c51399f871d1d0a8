"""The Trainer's run_fn, the same for every recipe: hands the records to the one training loop, exports the model."""

import dataclasses
import os
import shutil
from collections.abc import Mapping
from typing import Any

from components import artifacts, given
from components.training import worker
from models import files
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.training import loop

ROUTE = "route"  # folder of the model run that holds a checkpoint for every epoch, if they are asked for


def options_of(fn_args) -> tuple[Recipe, Config]:
    """The recipe and the configuration of `custom_config`, with the values that the Tuner found.

    A search of another recipe's options, a student's for its teacher say, gives the values of the options that both
    have, but of those that "settled" names. A base model is the codec whose codes are read (a student of codes has its
    teacher in the records), a student's teacher, or the model that is compressed.
    """
    options = fn_args.custom_config
    recipe = registry.get(options["recipe"])
    config = recipe.config(**options["config"])
    if base := getattr(fn_args, "base_model", None):
        name = next(name for name in ("codec", "teacher", "model") if hasattr(config, name))
        config = dataclasses.replace(config, **{name: base})
    found = (getattr(fn_args, "hyperparameters", None) or {}).get("values", {})
    taken = {f.name for f in dataclasses.fields(config)} - set(options.get("settled", ()))
    return recipe, dataclasses.replace(config, **{name: value for name, value in found.items() if name in taken})


def run_of(options: Mapping[str, Any]) -> str:
    """Digest of what decides a model, of a step's `custom_config`.

    On a cluster the data, the number of steps and given models become known when the step runs ("data" is the digest of
    the data there); elsewhere "run" says it all.
    """
    if "data" not in options:
        return options["run"]
    models = {name: known or given.content_of(options["config"][name]) for name, known in options["models"].items()}
    return artifacts.digest(options["run"], options["data"], options["config"], models)


def run_fn(fn_args) -> None:
    """Trains and exports one model.

    Checkpoints lie outside the output artifact, in a folder named by a digest of everything that shapes the training,
    so that the same command goes on where a killed one stopped; the folder goes when the model is written. Runs of one
    training wait for each other.

    Args:
      fn_args: TFX's FnArgs. `custom_config` holds "recipe", "config" (all options), "run" (digest of recipe, options,
        data, models and code), "models" (digests of given models, by option), "resume_dir" (parent of the checkpoint
        folders), "keep_route" (whether the model of every epoch is kept), "settled" (options no search changes),
        "workers" (processes that share the training), "mirrored" (whether several devices must) and on a cluster
        "data" (see `run_of`).
    """
    recipe, config = options_of(fn_args)
    options = fn_args.custom_config
    if (known := options.get("models", {}).get("init")) and given.content_of(config.init) != known:
        raise ConfigError(f"init={config.init}: changed while the pipeline ran; run it again")
    train_files = record_files(fn_args.train_files)
    config = recipe.adapt(config, train_files)
    run = run_of(options)
    key = artifacts.digest(run, dataclasses.asdict(config))
    os.makedirs(options["resume_dir"], exist_ok=True)
    work_dir = os.path.join(options["resume_dir"], key)
    with files.held(f"{work_dir}.lock", "  another run trains this very model; waiting for it"):
        _train(fn_args, recipe, config, run, work_dir)


def _train(fn_args, recipe: Recipe, config: Config, run: str, work_dir: str) -> None:
    """Trains, exports and notes the origin; `work_dir` goes."""
    train_files = record_files(fn_args.train_files)
    log_dir = os.path.join(work_dir, "logs")
    os.makedirs(log_dir, exist_ok=True)
    print(f"  curves: tensorboard --logdir {log_dir} (later {fn_args.model_run_dir})", flush=True)
    options = fn_args.custom_config
    told = worker.Told(
        recipe.name, dataclasses.asdict(config), train_files, record_files(fn_args.eval_files),
        os.path.join(work_dir, "state"), log_dir, fn_args.serving_model_dir,
        os.path.join(log_dir, ROUTE) if options.get("keep_route") else "",
    )  # fmt: skip
    if (count := options.get("workers", 1)) > 1:
        worker.launch(told, count, os.path.join(work_dir, "workers"))
    else:
        if options.get("mirrored"):
            loop.must_be_several()
        worker.train(told)
    artifacts.write_origin(fn_args.serving_model_dir, artifacts.origin_of(recipe, config, run))
    shutil.copytree(log_dir, fn_args.model_run_dir, dirs_exist_ok=True)
    shutil.rmtree(work_dir)


def record_files(patterns: list[str]) -> list[str]:
    """The files that FnArgs' patterns name, sorted."""
    return sorted(f for pattern in patterns for f in artifacts.fileio.glob(pattern))
