"""The command that decodes streams: `decompress`."""

import io

import click

from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, model_options, must_be_one, open_codec
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("decompress")
@click.argument("streams", nargs=-1, required=True, type=PATH)
@output_options
@model_options
def command(streams, models, url, wait, parallel, out, overwrite):
    """Decompress STREAMS (files, or folders searched for *.kmp) to OUT/<path below the folder>.png."""
    must_be_one(models, url, parallel)
    files, left_out = gather(streams, (STREAM_SUFFIX,))
    pairs = plan(files, out, ".png", overwrite)
    must_be_writable("--out", out)
    codec = open_codec(models, url, len(models) > 1, wait=wait)
    from PIL import Image

    def work(content: bytes) -> tuple[bytes, str]:
        image = codec.decompress(content)
        with Image.open(io.BytesIO(image)) as header:
            width, height = header.size
        return image, f"{width}x{height} pixels  {len(image):,} bytes"

    tell_left_out(left_out)
    process(pairs, out, "decompressing", work, parallel)
