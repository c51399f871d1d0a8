"""The command that adds up atoms again: `decode`."""

import os

import click
import numpy as np

from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.dictionaries import SUFFIX, array, dictionary_options, only, open_dictionary, weights_of
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("decode")
@click.argument("weights", nargs=-1, required=True, type=PATH)
@output_options
@dictionary_options
@click.option("--vectors", is_flag=True, help="Write the vectors (.npy, [N, d]) in place of a picture.")
def command(weights, model, url, wait, parallel, out, overwrite, vectors):
    """Turn WEIGHTS (files of `encode`, or folders searched for *.npz) into pictures OUT/<path below the folder>.png."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(weights, (SUFFIX,))
    pairs = plan(files, out, ".npy" if vectors else ".png", overwrite)
    must_be_writable("--out", out)
    ask = open_dictionary(model, url, wait, parallel)

    def work(content: bytes) -> tuple[bytes, str]:
        known = weights_of(content)
        if vectors:
            found = np.asarray(only(ask("decode_vectors", weights=known), "vectors"))
            return array(found), f"{found.shape[0]} vectors of {found.shape[1]} numbers"
        picture = only(ask("decode", weights=known), "picture_bytes")
        return picture, f"{len(picture):,} bytes"

    tell_left_out(left_out)
    process(pairs, out, "decoding", work, parallel)
