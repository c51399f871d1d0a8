"""Training of the models of electrocardiograms: examples a second, on simulated recordings or on those of a place.

    python -m tests.benchmarks.bench_ecg_training [--data DIR] [--preset small] [--steps 120]

`ecg_crnn` is timed over its three phases with their shares of the steps. The first steps of each training are left out.
"""

import pathlib
import tempfile

import click

from components.evaluation import ecg_results
from components.kinds.recordings import transform
from components.kinds.recordings.sources import SAMPLE, default_name
from models.contract import registry
from tests.claims.ecg_report import MODELS
from tests.claims.step_times import StepTimes


@click.command()
@click.option("--data", default="", help="Folder or archive of labelled recordings. [default: simulated ones]")
@click.option("--preset", default="small", show_default=True)
@click.option("--steps", default=120, show_default=True)
def main(data, preset, steps):
    """Print examples a second and milliseconds a step."""
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        name = default_name(data) if data else SAMPLE
        files = transform.transform(ecg_results.ingest(name, data, folder / "ingest"), folder / "records")
        for model in MODELS:
            recipe, timer = registry.get(model), StepTimes()
            config = recipe.make_config(preset, {"steps": steps, "steps_per_epoch": steps})
            ecg_results.trained(recipe, config, files, folder / model, callbacks=[timer], progress=False)
            seconds = timer.mean()
            click.echo(
                f"{model:10}{config.batch_size / seconds:8.0f} examples/s  {1000 * seconds:6.0f} ms a step of "
                f"{config.batch_size} ({name}, {preset})"
            )


if __name__ == "__main__":
    main()
