"""What each part of EDIC is worth: variants trained for the same time at one rate point, measured on other pictures.

    python -m tests.claims.edic_ablation --records FOLDER --pictures FOLDER --out FILE [--minutes N] [--seeds N]

RECORDS is an ingest's output (`.../TfdsExampleGen/examples/N`, with Split-train and Split-validation). Every variant's
step is timed first, in processor time, and its number of steps is what fits into the minutes of one core; the times are
kept beside FILE. Every finished run is a line of FILE; the same command goes on where it was stopped, in mid-training
too. Bits at equal distortion: the difference of
the costs bpp + lambda MSE, over the bits of the whole codec; to first order that is what equal distortion would cost.
"""

import json
import os
import pathlib
import time

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from components.evaluation import rate_distortion  # noqa: E402
from components.serving import served_codec  # noqa: E402
from models.contract import registry  # noqa: E402
from models.training.loop import compiled_model, train  # noqa: E402
from tests.claims.mixture_size import pictures_of  # noqa: E402

EDIC = registry.get("edic")
VARIANTS = {
    "whole": {},
    "without attention": {"attention": False},
    "K = 1": {"components": 1},
    "K = 2": {"components": 2},
    "K = 5": {"components": 5},
    "without enhancement": {"enhancement": "off"},
    "enhancement at full resolution": {"enhancement": "full"},
    "none of the three": {"attention": False, "components": 1, "enhancement": "off"},
}
_TIMED_STEPS = 20


def step_seconds(config, files: list[str]) -> float:
    """Median processor seconds of a training step, all threads together, the first few left out."""
    model = compiled_model(EDIC, config)
    batches, seconds = iter(EDIC.inputs(files, config, True)), []
    for _ in range(5 + _TIMED_STEPS):
        batch = next(batches)
        start = time.process_time()
        model.train_on_batch(batch)
        seconds.append(time.process_time() - start)
    return float(np.median(seconds[5:]))


def steps_of(
    names, options: dict, files: list[str], minutes: float, kept: pathlib.Path
) -> dict[str, tuple[int, float]]:
    """Variant -> (steps that fit into the minutes, seconds a step); what was timed once is not timed again."""
    seconds = json.loads(kept.read_text()) if kept.exists() else {}
    for name in names:
        if name not in seconds:
            seconds[name] = step_seconds(EDIC.make_config("small", VARIANTS[name] | options), files)
            kept.write_text(json.dumps(seconds, indent=1))
    return {name: (max(1, round(60 * minutes / seconds[name])), seconds[name]) for name in names}


def measure(recipe, model, config, files: list[pathlib.Path]) -> dict[str, list[float]]:
    """What `serving_default` says of each picture: real bits per pixel, PSNR, cost and so on."""
    serve = recipe.signatures(model, config).functions["serving_default"]
    found: dict[str, list[float]] = {}
    for file in files:
        picture = rate_distortion.read_rgb(file)
        for name, value in serve(tf.constant([served_codec.record_of(picture)])).items():
            found.setdefault(name, []).append(float(value[0, 0]))
    return found


@click.command()
@click.option("--records", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--minutes", default=10.0, show_default=True, help="Of one core, a run.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--lmbda", default=0.0045, show_default=True)
@click.option("--init", default="", help="A pushed model that all start from, as far as they fit.")
@click.option("--variant", "chosen", multiple=True, type=click.Choice(list(VARIANTS)), help="[default: all]")
def main(records, pictures, out, minutes, seeds, lmbda, init, chosen):
    """Train and measure the variants of EDIC."""
    files = {split: sorted(map(str, records.glob(f"Split-{split}/*"))) for split in ("train", "validation")}
    if not all(files.values()):
        raise click.UsageError(f"{records}: no Split-train and Split-validation here")
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    options = {"lmbda": lmbda, "init": init, "steps_per_epoch": 200}
    steps = steps_of(chosen or VARIANTS, options, files["train"], minutes, out.with_suffix(".steps.json"))
    for seed in range(1, seeds + 1):
        for name in chosen or VARIANTS:
            if any(d["variant"] == name and d["seed"] == seed for d in done):
                continue
            config = EDIC.make_config("small", VARIANTS[name] | options | {"seed": seed, "steps": steps[name][0]})
            work = out.with_suffix("") / f"{name} {seed}"
            model = train(
                EDIC, config, files["train"], files["validation"], work_dir=str(work / "state"), log_dir=str(work)
            )
            row = {"variant": name, "seed": seed, "steps": config.steps, "step_seconds": steps[name][1],
                   "lmbda": lmbda, "init": init,
                   "pictures": measure(EDIC, model, config, pictures_of(pictures))}  # fmt: skip
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            done.append(row)
    report(done)


def report(done: list[dict]) -> None:
    """Prints a line for each variant: means over pictures, paired with the whole codec of the same seed."""
    mean = {(d["variant"], d["seed"]): {k: np.mean(v) for k, v in d["pictures"].items()} for d in done}
    click.echo("variant                         step, ms  steps    bpp     dB      bits at equal distortion, each seed")
    for name in VARIANTS:
        rows = [d for d in done if d["variant"] == name and ("whole", d["seed"]) in mean]
        if not rows:
            continue
        own, whole = [mean[name, d["seed"]] for d in rows], [mean["whole", d["seed"]] for d in rows]
        shares = [100 * (o["rd_cost"] - w["rd_cost"]) / w["bpp"] for o, w in zip(own, whole, strict=True)]
        bpp, psnr = np.mean([o["bpp"] for o in own]), np.mean([o["psnr_db"] for o in own])
        figures = " ".join(f"{s:+.2f} %" for s in shares)
        click.echo(
            f"{name:31} {1000 * rows[0]['step_seconds']:8.0f} {rows[0]['steps']:6} {bpp:8.4f} {psnr:7.2f}   {figures}"
            f"   mean {np.mean(shares):+.2f} %"
        )


if __name__ == "__main__":
    main()
