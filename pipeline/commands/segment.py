"""The command that uses a pushed segmenter on pictures and streams: `segment`."""

import io
import os

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, server_options
from pipeline.client.dictionaries import only, open_asked
from pipeline.client.files import gather, output_options, plan, process, tell_left_out

_NAMED = 3  # classes of a line


@click.command("segment")
@click.argument("inputs", nargs=-1, required=True, type=PATH)
@output_options
@click.option("--model", type=PATH, help="A pushed segmenter, or a folder of its versions.")
@server_options
def command(inputs, model, url, wait, parallel, out, overwrite):
    """Turn INPUTS, pictures or streams (.kmp) of the model's codec, files or folders of them, into class maps
    OUT/<path below the folder>.png.

    A class map is a grey PNG of the picture's size whose levels are the classes; a line says which there are most of.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(inputs, (*EXTENSIONS, STREAM_SUFFIX))
    pairs = plan(files, out, ".png", overwrite)
    must_be_writable("--out", out)
    from components.kinds.pictures.pictures import normalize
    from components.serving.served_classifier import ServedSegmenter
    from models.entropy.coder.header import MAGIC

    ask = open_asked(ServedSegmenter, model, url, wait, parallel)
    names: dict[int, str] = {}

    def work(content: bytes) -> tuple[bytes, str]:
        if content.startswith(MAGIC):
            answer = ask("segment_streams", bitstream_bytes=content)
        else:
            answer = ask("segment", image_bytes=normalize(content).encoded)
        found = only(answer, "class_map_bytes")
        said = []
        for place, share in _shares(found)[:_NAMED]:
            if place not in names:
                name = only(ask("class_names", index=place), "class_name")
                names[place] = name.decode() if isinstance(name, bytes) else str(name)
            said.append(f"{names[place]} {share:.0%}")
        return found, ", ".join(said)

    tell_left_out(left_out)
    process(pairs, out, "segmenting", work, parallel)


def _shares(class_map: bytes) -> list[tuple[int, float]]:
    """The classes of a map, PNG bytes, with their shares of its pixels, the largest first."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(class_map)) as image:
        counts = np.bincount(np.asarray(image).ravel())
    order = np.argsort(-counts, kind="stable")
    return [(int(place), float(counts[place] / counts.sum())) for place in order if counts[place]]
