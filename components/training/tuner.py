"""The Tuner's tuner_fn: the same for every recipe."""

import os

from tfx.v1.components import TunerFnResult

from components.training.trainer import options_of, record_files, run_of
from tuning import tuner


def tuner_fn(fn_args) -> TunerFnResult:
    """A search over the options that the recipe's configuration marks as worth tuning.

    Args:
      fn_args: TFX's FnArgs; `custom_config` as for the Trainer, and "trials" (their number).
    """
    recipe, config = options_of(fn_args)
    options = fn_args.custom_config
    files = {
        "train_files": record_files(fn_args.train_files),
        "validation_files": record_files(fn_args.eval_files),
    }
    config = recipe.adapt(config, files["train_files"])
    directory = os.path.join(options["resume_dir"], f"tuning-{run_of(options)}")
    search = tuner.ConfigTuner(recipe, config, trials=options["trials"], directory=directory)
    return TunerFnResult(tuner=search, fit_kwargs=files)
