"""The command that codes pictures: `compress`."""

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.codecs import STREAM_SUFFIX, model_options, must_be_one, open_codec, wish
from pipeline.client.files import gather, output_options, plan, process, tell_left_out


@click.command("compress")
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@output_options
@model_options
@click.option("--psnr", is_flag=True, help="Decode each stream as well and print the PSNR.")
@click.option(
    "--quality",
    type=float,
    help="Among rate points, or of a variable-rate model: 0 (smallest files) to 100 (best pictures).",
)
@click.option("--target-bpp", type=float, help="The rate point nearest to these bits per pixel.")
@click.option("--target-psnr", "target_psnr_db", type=float, help="The same for the PSNR in dB.")
@click.option(
    "--refine",
    type=click.IntRange(0, 100),
    default=0,
    help="Passes that search for better latents; 16 take some seconds, for 9 % fewer bits at equal PSNR (Kodak).",
)
def command(pictures, models, url, wait, parallel, out, overwrite, psnr, refine, **wanted):
    """Compress PICTURES (files, or folders searched through) to OUT/<path below the folder>.kmp.

    What is hidden or no picture is left out of folders, and counted.
    """
    must_be_one(models, url, parallel)
    choice = wish(models, url, **wanted)
    files, left_out = gather(pictures, EXTENSIONS)
    pairs = plan(files, out, STREAM_SUFFIX, overwrite)
    must_be_writable("--out", out)
    codec = open_codec(models, url, choice is not None, refine, wait)
    from components.evaluation import classic, rate_distortion
    from components.kinds.pictures.pictures import normalize
    from models.entropy.coder import header

    def work(content: bytes) -> tuple[bytes, str]:
        picture = normalize(content)
        if choice:
            stream, _, bound, setting = codec.compress(picture.encoded, choice)
        else:
            stream = codec.compress(picture.encoded, refine=refine) if refine else codec.compress(picture.encoded)
        line = f"{len(stream):,} bytes  {8 * len(stream) / (picture.height * picture.width):.4f} bpp"
        if header.is_stored(stream):
            line += "  kept without loss, as a PNG"
        elif choice:
            line += f"  {setting}"
        if psnr:
            original, decoded = classic.decode(picture.encoded), classic.decode(codec.decompress(stream))
            line += f"  {rate_distortion.psnr_db(original, decoded):.2f} dB"
        if choice and bound is not None:
            line += f"  (the target is out of reach: {bound:.4g} {choice.unit} is the nearest)"
        return stream, line

    tell_left_out(left_out)
    process(pairs, out, "compressing", work, parallel)
