"""The Tuner's tuner_fn: the same for every recipe."""

import os

from tfx.components.tuner.component import TunerFnResult

from components import artifacts
from components.training.trainer import options_of, record_files, run_of
from tuning import plan, tuner


def tuner_fn(fn_args) -> TunerFnResult:
    """A search over the options that the recipe's configuration marks as worth tuning.

    Args:
      fn_args: TFX's FnArgs; `custom_config` as for the Trainer, "trials" (their number), "plan" (what else
        `tuning.plan.Plan` takes) and "sweep_logs" (parent of the folders in which logs of trials stay).
    """
    recipe, config = options_of(fn_args)
    options = fn_args.custom_config
    files = {
        "train_files": record_files(fn_args.train_files),
        "validation_files": record_files(fn_args.eval_files),
    }
    config = recipe.adapt(config, files["train_files"])
    count, said = plan.workers(), options.get("plan", {})
    key = run_of(options) + (f"-{artifacts.digest(said)}" if said else "")
    # What one process has left is not taken for what a chief has.
    directory = os.path.join(options["resume_dir"], f"tuning-{key}" + ("-parallel" if count > 1 else ""))
    search = tuner.ConfigTuner(
        recipe, config, plan.Plan(options["trials"], **said), directory=directory, workers=count,
        logs=os.path.join(options["sweep_logs"], key) if options.get("sweep_logs") else "",
    )  # fmt: skip
    return TunerFnResult(tuner=search, fit_kwargs=files)
