"""What coding a volume of symbols takes: `conditional_probability` on a picture of 768x512, by the number of channels.

    python -m tests.benchmarks.bench_volume [--runs 5] [--latents 16,32] [--model SERVING]

"encode" and "decode" are all between latents and the sections of a stream, "compress" and "decompress" go from a PNG
and to one. Beside the seconds, what the integers' bits and those of the section are above the float network's. Weights
are untrained at the small preset, so that a stream is longer than one worth its bytes; with --model a pushed model's.
"""

import click
import numpy as np
import tensorflow as tf

from models.codecs.serving.volume_latents import Volume
from models.entropy.densities import softmax_cdf
from models.publishing import pushed
from tests.benchmarks.bench_codec import graph, median_seconds, picture, served_codec


def measure(server, runs: int) -> str:
    """A line of seconds (wall, processor)."""
    pixels, latents = picture(512, 768), server.payload.latents
    png = tf.io.encode_png(pixels)[None]
    analyse = tf.function(server.payload.analyse, [tf.TensorSpec([None, None, 3], tf.uint8)], autograph=False)
    y = analyse(pixels)
    encode, decode = graph(latents.encode), graph(latents.decode)
    sections, y_hat = encode(tf.identity(y))
    sides = tf.constant(y.shape[1]), tf.constant(y.shape[2])
    assert np.array_equal(decode(sections, *sides), y_hat)
    symbols = tf.transpose(latents.nearest(y), [2, 0, 1])
    integers = softmax_cdf.PRECISION - np.log2(graph(latents.intervals)(symbols).numpy() >> 32)
    expected = float(latents.estimated_bits(y, y_hat)[0])
    above = [bits / expected - 1 for bits in (integers.sum(), 8 * len(sections[0].numpy()))]
    compress, decompress = server.functions["compress"], server.functions["decompress"]
    stream = compress(png)["bitstream_bytes"]
    calls = {
        "encode": lambda: encode(tf.identity(y))[1].numpy(), "decode": lambda: decode(sections, *sides).numpy(),
        "compress": lambda: compress(png)["bitstream_bytes"].numpy(),
        "decompress": lambda: decompress(stream)["image_bytes"].numpy(),
    }  # fmt: skip
    found = {name: median_seconds(call, runs) for name, call in calls.items()}
    steps = int(Volume(latents.depth, *sides).steps)
    seconds = "".join(f"  {name} {wall:.2f} ({processor:.2f})" for name, (wall, processor) in found.items())
    bpp = 8 * len(stream[0].numpy()) / pixels[..., 0].size
    told = f"integers {above[0]:+.3%}, stream {above[1]:+.2%}"
    return f"{latents.depth:3} channels, {steps} steps, {bpp:.3f} bpp, {told}{seconds}"


@click.command()
@click.option("--runs", default=5, show_default=True)
@click.option("--latents", default="16,32", show_default=True)
@click.option("--model", default="", help="A pushed model in place of untrained ones.")
def main(runs, latents, model):
    """Print seconds."""
    click.echo(f"768x512, medians of {runs}, seconds (of processor in brackets)")
    if model:
        recipe, config, trained = pushed.load(model)
        click.echo(measure(recipe.signatures(trained, config), runs))
        return
    for count in latents.split(","):
        server, _ = served_codec("conditional_probability", "small", {"latents": count, "store": "false"})
        click.echo(measure(server, runs))


if __name__ == "__main__":
    main()
