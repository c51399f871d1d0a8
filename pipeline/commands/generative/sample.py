"""The command that draws pictures of nothing: `sample`."""

import io
import os
from concurrent import futures

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable, shown
from pipeline.client.codecs import server_options
from pipeline.client.dictionaries import only, open_asked
from pipeline.client.files import output_options, write_whole

_LAST_SEED = 2**63 - 1


@click.command("sample")
@output_options
@server_options
@click.option("--model", type=PATH, help="A pushed generative model, or a folder of its versions.")
@click.option("--count", default=16, show_default=True, type=click.IntRange(1), help="How many pictures.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, _LAST_SEED),
    help="Of the first picture; the next ones have those above.",
)
def command(model, url, wait, parallel, out, overwrite, count, seed):
    """Draw pictures from a generative model: OUT/sample-SEED.png, one for each seed.

    Everything in them is made up. A seed gives the same picture again.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if seed + count - 1 > _LAST_SEED:
        raise UserError(f"--seed {seed}: no {count} seeds up to 2^63 - 1")
    targets = {number: out / f"sample-{number}.png" for number in range(seed, seed + count)}
    for target in targets.values():
        if os.path.lexists(target) and not overwrite:
            raise UserError(f"{shown(target)}: exists; give --overwrite to replace it. Nothing was written")
    must_be_writable("--out", out)
    from components.serving.served_model import ServedGenerator

    ask = open_asked(ServedGenerator, model, url, wait, parallel)
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)
    with futures.ThreadPoolExecutor(parallel) as pool:
        answers = pool.map(lambda number: only(ask("sample", seed=number), "picture_bytes"), targets)
        for target, content in zip(targets.values(), answers, strict=True):
            write_whole(target, content)
            with Image.open(io.BytesIO(content)) as picture:
                click.echo(f"{shown(target)}  {picture.width}x{picture.height} pixels")
