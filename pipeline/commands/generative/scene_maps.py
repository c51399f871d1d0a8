"""The command that says what scenes were coded with: `scene-maps`."""

import os

import click

from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, server_options
from pipeline.client.dictionaries import open_asked
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("scene-maps")
@click.argument("streams", nargs=-1, required=True, type=PATH)
@output_options
@server_options
@click.option("--model", type=PATH, help="The pushed extreme_selective that wrote them, or a folder of its versions.")
@click.option("--kept", is_flag=True, help="The masks of what was coded, in place of the label maps.")
def command(streams, model, url, wait, parallel, out, overwrite, kept):
    """Write the label maps that STREAMS (files, or folders searched for *.kmp) hold to OUT/<path below the folder>.png.

    Levels of a map are classes, 255 is none. Whatever is outside of the mask (--kept) the decoder makes up.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(streams, (STREAM_SUFFIX,))
    pairs = plan(files, out, ".png", overwrite)
    must_be_writable("--out", out)
    from components.serving.served_model import ServedSceneCodec
    from pipeline.client.scenes.maps import share

    ask = open_asked(ServedSceneCodec, model, url, wait, parallel)

    def work(content: bytes) -> tuple[bytes, str]:
        maps = ask("decompress_maps", bitstream_bytes=content)
        line = f"{share(maps['mask_bytes']):.0%} kept"
        return maps["mask_bytes" if kept else "label_map_bytes"], line

    tell_left_out(left_out)
    process(pairs, out, "reading", work, parallel)
