"""The command that codes pictures, or clips where the model is one of clips: `compress`."""

import time

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable
from pipeline.client.clips.asked import are_clips, asked_of_clips
from pipeline.client.codecs import STREAM_SUFFIX, model_options, must_be_one, open_codec, open_lossless, wish
from pipeline.client.files import gather, output_options, plan, process, tell_left_out
from pipeline.client.pictures import reporting


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
    help="Passes that search for better latents; 16 take some seconds, for 9 % fewer bits at equal PSNR (Kodak; of the "
    "released codecs up to quality 50 alone). With --lossless: that adapt weights to the picture.",
)
@click.option(
    "--lossless", is_flag=True, help="Keep every value: the released lossless codec, or one given by --model or --url."
)
@click.option(
    "--report", type=PATH, metavar="FILE.html", help="Write a page: JPEG, WebP, JPEG 2000, AVIF at equal bytes."
)
def command(pictures, models, url, wait, parallel, out, overwrite, psnr, refine, lossless, report, **wanted):
    """Compress PICTURES (files, or folders searched through) to OUT/<path below the folder>.kmp.

    With --model of a codec of clips: clips (files, or folders searched through for files and folders of frames) to
    OUT/<path below the folder>.kmv. What was stopped goes on at the next group of frames.

    What is hidden or no picture is left out of folders, and counted. With --lossless a PNG's values come back as they
    are, of 16 bits too; other formats as their decoded pixels. With --report each picture takes far longer.
    """
    must_be_one(models, url, parallel)
    clips = are_clips(pictures, models, url)
    if report:
        reporting.must_be_for_pictures(report, clips, url, lossless)
    if clips:
        from pipeline.client.clips import coding

        quality = asked_of_clips(models, url, refine, lossless, **wanted)
        return coding.compress(pictures, models[0], out, overwrite, quality, psnr)
    if lossless and any(value is not None for value in wanted.values()):
        raise UserError("--lossless has one rate: leave out --quality and the targets")
    choice = None if lossless else wish(models, url, **wanted)
    files, left_out = gather(pictures, EXTENSIONS)
    pairs = plan(files, out, STREAM_SUFFIX, overwrite)
    must_be_writable("--out", out)
    if report:
        reporting.must_be_free(report, [target for _, target in pairs], overwrite)
    codec = open_lossless(models, url, wait) if lossless else open_codec(models, url, choice is not None, refine, wait)
    from components.kinds.pictures.pictures import normalize

    def code(encoded: bytes):
        """The stream, and what was chosen for it if there is a choice."""
        if choice:
            found = codec.compress(encoded, choice)
            return found.stream, found
        return (codec.compress(encoded, refine=refine) if refine else codec.compress(encoded)), None

    page = reporting.Reporter(report, codec, lambda encoded: code(encoded)[0], choice, refine) if report else None

    def work(content: bytes) -> tuple[bytes, str]:
        picture = normalize(content)
        if lossless and picture.format == "png":  # its very values: 16 bits, and no profile is applied to them
            picture = picture._replace(encoded=content)
        begin = time.perf_counter()
        stream, chosen = code(picture.encoded)
        if page:
            page.add(picture, stream, time.perf_counter() - begin)
        return stream, _said(codec, picture, stream, choice, chosen, psnr)

    tell_left_out(left_out)
    if not page:
        return process(pairs, out, "compressing", work, parallel)
    with page.writing(len(pairs)):
        return process(pairs, out, "compressing and comparing", work, read=page.read)


def _said(codec, picture, stream: bytes, choice, chosen, psnr: bool) -> str:
    """What the line of a picture says of its stream, which was `chosen` (`codec_family.Coded`) by a choice, or None."""
    from components.evaluation import classic, rate_distortion
    from models.entropy.coder import header

    line = f"{len(stream):,} bytes  {8 * len(stream) / (picture.height * picture.width):.4f} bpp"
    if header.is_stored(stream):
        line += "  kept without loss, as a PNG"
    elif chosen:
        line += f"  {chosen.setting}"
    if psnr:
        original, decoded = classic.decode(picture.encoded), classic.decode(codec.decompress(stream))
        line += f"  {rate_distortion.psnr_db(original, decoded):.2f} dB"
    if chosen and chosen.bound is not None:
        line += f"  (the target is out of reach: {chosen.bound:.4g} {choice.unit} is the nearest)"
    return line
