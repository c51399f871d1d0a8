"""The command that codes pictures with label maps: `compress-scenes`."""

import os
import pathlib

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, server_options
from pipeline.client.dictionaries import only, open_asked
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("compress-scenes")
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@output_options
@server_options
@click.option("--model", type=PATH, help="A pushed extreme_selective, or a folder of its versions.")
@click.option(
    "--labels",
    "labels_at",
    required=True,
    type=PATH,
    help="A folder of label maps (<path below the folder>.png, and classes.txt), or a pushed segmenter.",
)
@click.option("--keep", required=True, metavar="MASKS|CLASSES",
              help="What is coded: where the PNGs of a folder are not 0, or classes with commas between.")  # fmt: skip
def command(pictures, model, url, wait, parallel, out, overwrite, labels_at, keep):
    """Compress PICTURES (files, or folders searched through) to OUT/<path below the folder>.kmp.

    What is kept is coded. All else the decoder makes up from the labels: content is synthesised there. `decompress`
    reads the streams, `scene-maps` says what they were coded with.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(pictures, EXTENSIONS)
    pairs = plan(files, out, STREAM_SUFFIX, overwrite)
    must_be_writable("--out", out)
    from components.kinds.pictures.pictures import normalize
    from components.serving.served_model import ServedSceneCodec
    from pipeline.client.scenes import maps

    ask = open_asked(ServedSceneCodec, model, url, wait, parallel)
    names = maps.names_of(None if url else model)
    labels, masks = maps.labels(labels_at, files, names), maps.preserved(keep, files, names)

    def read(path: pathlib.Path) -> tuple[bytes, bytes, bytes]:
        return path.read_bytes(), *(m.files[path].read_bytes() if m.files else b"" for m in (labels, masks))

    def work(contents: tuple[bytes, bytes, bytes]) -> tuple[bytes, str]:
        picture = normalize(contents[0])
        label_map = labels.read(picture.encoded, contents[1])
        mask = masks.read(picture.encoded if masks.files else label_map, contents[2])
        given = {"image_bytes": picture.encoded, "label_map_bytes": label_map, "mask_bytes": mask}
        stream = only(ask("compress_selective", **given), "bitstream_bytes")
        bpp = 8 * len(stream) / (picture.height * picture.width)
        return stream, f"{len(stream):,} bytes  {bpp:.4f} bpp  {maps.share(mask):.0%} kept"

    tell_left_out(left_out)
    process(pairs, out, "compressing", work, parallel, read)
