"""What one model for all rates costs against separate models: BD-rate after the same steps from the same start.

    python -m tests.claims.variable_rate --records FOLDER --pictures FOLDER --init MODEL --work DIR --out FILE

RECORDS is an ingest's output (`.../TfdsExampleGen/examples/N`). The variable-rate `edic` has `--rates` rate points, the
first at `--lmbda` and each of the others at half the lambda before; a separate model is trained for each of these, with
as many steps as the variable-rate one, so all of them together get `--rates` times its training. Every finished model
is a line of FILE; the same command goes on where it was stopped.
"""

import json
import os
import pathlib

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.evaluation import rate_distortion  # noqa: E402
from components.serving import served_codec  # noqa: E402
from models.contract import registry  # noqa: E402
from models.publishing import export  # noqa: E402
from models.training.loop import train  # noqa: E402
from tests.claims.kodak_rd import measure_model, read_pictures  # noqa: E402

EDIC = registry.get("edic")


def trained(options: dict, files: dict[str, list[str]], work: pathlib.Path) -> pathlib.Path:
    """Trains and exports one model; returns its folder."""
    config = EDIC.make_config("small", options | {"steps_per_epoch": 200})
    if not (work / "model").exists():
        model = train(
            EDIC, config, files["train"], files["validation"], work_dir=str(work / "state"), log_dir=str(work)
        )
        export.export(EDIC, config, model, str(work / "model"))
    return work / "model"


def points_of(row: dict) -> list[rate_distortion.Point]:
    """The rate points of one finished model."""
    return [rate_distortion.Point(*(p[k] for k in ("bpp", "psnr_db", "ms_ssim"))) for p in row["points"]]


@click.command()
@click.option("--records", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--init", required=True, help="A pushed model that all start from, as far as they fit.")
@click.option("--work", required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--steps", default=1200, show_default=True)
@click.option("--rates", default=4, show_default=True, type=click.IntRange(4), help="A curve wants four points.")
@click.option("--lmbda", default=0.012, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(records, pictures, init, work, out, steps, rates, lmbda, seed):
    """Train one variable-rate model and the separate ones, and compare their curves."""
    files = {split: sorted(map(str, records.glob(f"Split-{split}/*"))) for split in ("train", "validation")}
    if not all(files.values()):
        raise click.UsageError(f"{records}: no Split-train and Split-validation here")
    common = {"init": init, "steps": steps, "seed": seed}
    wanted = {"variable": {"rates": rates, "lmbda": lmbda}}
    wanted |= {f"separate {n}": {"lmbda": lmbda / 2**n} for n in range(rates)}
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    for name, options in wanted.items():
        if any(d["model"] == name and d["seed"] == seed for d in done):
            continue
        folder = trained(common | options, files, work / f"{name} {seed}")
        codec = served_codec.ServedCodec(folder)
        qualities = [round(100 * n / (rates - 1)) for n in range(rates)] if name == "variable" else [None]
        measured = [measure_model(codec, read_pictures(pictures), quality)["mean"] for quality in qualities]
        done.append({"model": name, "seed": seed, "steps": steps, **options, "points": measured})
        with out.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
    for seed in sorted({d["seed"] for d in done}):
        report([d for d in done if d["seed"] == seed])


def report(done: list[dict]) -> None:
    """Prints the points of one seed, and the variable-rate model's BD-rate against the separate ones'."""
    variable = [p for d in done if d["model"] == "variable" for p in points_of(d)]
    separate = [p for d in done if d["model"] != "variable" for p in points_of(d)]
    for name, points in (("variable", variable), ("separate", separate)):
        for point in sorted(points, key=lambda p: p.bpp):
            click.echo(f"{name:9} {point.bpp:.4f} bpp  {point.psnr_db:.2f} dB  MS-SSIM {point.ms_ssim:.4f}")
    for measure, pairs in (("PSNR", rate_distortion.psnr_pairs), ("MS-SSIM", rate_distortion.ms_ssim_pairs)):
        ordered = [pairs(sorted(points, key=lambda p: p.bpp)) for points in (separate, variable)]
        percent, low, high = rate_distortion.bd_rate(*ordered)
        click.echo(
            f"seed {done[0]['seed']}: variable against separate models, {measure}: {percent:+.2f} % "
            f"(from {low:.2f} to {high:.2f} dB)"
        )


if __name__ == "__main__":
    main()
