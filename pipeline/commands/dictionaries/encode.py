"""The command that codes pictures and vectors by a dictionary: `encode`."""

import os

import click
import numpy as np

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.dictionaries import SUFFIX, dictionary_options, open_dictionary, packed, vectors_of
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("encode")
@click.argument("inputs", nargs=-1, required=True, type=PATH)
@output_options
@dictionary_options
def command(inputs, model, url, wait, parallel, out, overwrite):
    """Code INPUTS by the atoms of a dictionary to OUT/<path below the folder>.npz: sparse non-negative weights.

    INPUTS are files or folders of pictures, or of vectors (.npy, [d] or [N, d]). A file of weights also holds their
    error, squared over the squares of what was coded, and how far from optimal they are; `decode` takes it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(inputs, (*EXTENSIONS, ".npy"))
    pairs = plan(files, out, SUFFIX, overwrite)
    must_be_writable("--out", out)
    ask = open_dictionary(model, url, wait, parallel)
    from components.kinds.pictures.pictures import normalize

    def work(content: bytes) -> tuple[bytes, str]:
        if content.startswith(b"\x93NUMPY"):
            answer = ask("encode_vectors", vectors=vectors_of(content))
        else:
            answer = ask("encode", image_bytes=normalize(content).encoded)
        shape = np.shape(answer["weights"])
        line = f"{shape[0]} x {float(answer['nonzeros']):.2f} of {shape[1]} atoms  error {float(answer['error']):.4g}"
        line += f"  {float(answer['psnr_db']):.2f} dB" if "psnr_db" in answer else ""
        return packed(answer), line

    tell_left_out(left_out)
    process(pairs, out, "encoding", work, parallel)
