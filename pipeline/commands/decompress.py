"""The command that decodes streams: `decompress`."""

import io

import click

from models.video.film import SUFFIX as CLIP_SUFFIX
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, model_options, must_be_one, open_reader
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("decompress")
@click.argument("streams", nargs=-1, required=True, type=PATH)
@output_options
@model_options
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Of what a generative model draws besides what a stream holds. [default: the stream's own]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("y4m", "frames", "mp4")),
    help="Of clips: uncompressed YUV 4:4:4, a folder with a PNG a frame (exact), or H.264. [default: y4m]",
)
def command(streams, models, url, wait, parallel, out, overwrite, seed, form):
    """Decompress STREAMS (files, or folders searched for *.kmp and *.kmv) to OUT/<path below the folder>.png.

    Without a model a stream says which released one it needs. Coded clips (*.kmv) take the --model that wrote them;
    what was stopped goes on at the next group of frames, but for --format mp4.
    """
    must_be_one(models, url, parallel)
    if seed is not None and not (url or len(models) == 1):
        raise UserError("--seed is for one generative model: give --model DIR or --url")
    files, left_out = gather(streams, (STREAM_SUFFIX, CLIP_SUFFIX))
    clips = [file for file in files if file.path.suffix.lower() == CLIP_SUFFIX]
    if clips or form:
        from pipeline.client.clips import decoding

        if len(clips) < len(files):
            raise UserError("decompress clips (.kmv) and pictures apart; --format is for clips")
        if url is not None:
            raise UserError("clips are decoded by --model DIR (a served model gives groups of frames by its interface)")
        tell_left_out(left_out)
        return decoding.decompress(clips, models, out, overwrite, form or "y4m")
    pairs = plan(files, out, ".png", overwrite)
    must_be_writable("--out", out)
    codec = open_reader(models, url, wait)
    from PIL import Image

    def work(content: bytes) -> tuple[bytes, str]:
        image = codec.decompress(content) if seed is None else codec.decompress(content, seed)
        with Image.open(io.BytesIO(image)) as header:
            width, height = header.size
        return image, f"{width}x{height} pixels  {len(image):,} bytes"

    tell_left_out(left_out)
    return process(pairs, out, "decompressing", work, parallel)
