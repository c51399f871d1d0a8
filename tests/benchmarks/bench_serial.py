"""Decoding by `edic` against decoding by `autoregressive` at the same channel widths, one 768x512 picture, one run.

    python -m tests.benchmarks.bench_serial [--runs 5] [--channels 128] [--latents 192]

Both orders of `autoregressive` are measured: the published one, a position a step, and wavefronts. "latents" is all
between the sections of a stream and the decoded latents, "whole" is `decompress`, stream to PNG. Weights are untrained:
the wavelet start gives both models the same latents, at some 2 bits a pixel.
"""

import dataclasses

import click
import numpy as np
import tensorflow as tf

from tests.benchmarks.bench_codec import coder_seconds, graph, median_seconds, picture, served_codec

CODECS = {
    "edic": ("edic", {}),
    "autoregressive, raster": ("autoregressive", {"order": "raster"}),
    "autoregressive, wavefronts": ("autoregressive", {}),
}


@dataclasses.dataclass
class Decoding:
    """Seconds, each (wall, processor), float [2]; `coder` is None where it is part of the serial steps."""

    latents: np.ndarray
    whole: np.ndarray
    network: np.ndarray
    coder: np.ndarray | None
    synthesis: np.ndarray

    def shares(self) -> dict[str, float]:
        """Part -> share of the whole's processor time."""
        rest = self.latents - self.network - (0 if self.coder is None else self.coder)
        parts = {"exact network": self.network}
        parts |= (
            {"serial steps, coder in them": rest} if self.coder is None else {"coder": self.coder, "its mixtures": rest}
        )
        parts |= {"synthesis": self.synthesis, "PNG and rest": self.whole - self.latents - self.synthesis}
        return {name: float(seconds[1] / self.whole[1]) for name, seconds in parts.items()}


def decoding(recipe: str, runs: int, overrides: dict[str, str]) -> Decoding:
    """Measures one codec at the paper's preset but for the overrides."""
    server, _ = served_codec(recipe, "paper", overrides)
    pixels = picture(512, 768)
    stream = server.functions["compress"](tf.io.encode_png(pixels)[None])["bitstream_bytes"]
    y = graph(server.payload.analyse)(tf.constant(pixels))
    sections, y_hat = graph(server.payload.latents.encode)(y)
    z_hat = tf.round(server.payload.model.hyper_latents(y))
    sides = tf.constant(y.shape[1]), tf.constant(y.shape[2])
    decode, exact = graph(server.payload.latents.decode), graph(server.payload.latents.parameters)
    synthesise = graph(server.payload.synthesise)
    return Decoding(
        latents=median_seconds(lambda: decode(sections, *sides).numpy(), runs),
        whole=median_seconds(lambda: server.functions["decompress"](stream)["image_bytes"].numpy(), runs),
        network=median_seconds(lambda: exact(z_hat, *sides).numpy(), runs),
        coder=coder_seconds(server.payload.latents, y, runs)[1] if recipe == "edic" else None,
        synthesis=median_seconds(lambda: synthesise(y_hat, 512, 768).numpy(), runs),
    )


@click.command()
@click.option("--runs", default=5, show_default=True)
@click.option("--channels", default="128", show_default=True)
@click.option("--latents", default="192", show_default=True)
def main(runs, channels, latents):
    """Print times, ratios and where the time goes."""
    widths = {"channels": channels, "latents": latents}
    done = {name: decoding(recipe, runs, widths | more) for name, (recipe, more) in CODECS.items()}
    own = done["edic"]
    click.echo(f"768x512, {channels} channels, {latents} latents, medians of {runs}; seconds and ratios to edic (wall)")
    click.echo(f"{'':28}{'latents':>9}{'ratio':>8}{'whole':>9}{'ratio':>8}   shares of the whole's processor time")
    for name, d in done.items():
        shares = ", ".join(f"{part} {share:.0%}" for part, share in d.shares().items())
        click.echo(
            f"{name:28}{d.latents[0]:9.3f}{d.latents[0] / own.latents[0]:8.2f}"
            f"{d.whole[0]:9.3f}{d.whole[0] / own.whole[0]:8.2f}   {shares}"
        )


if __name__ == "__main__":
    main()
