"""Which pictures the released codecs keep as a PNG, and what becomes of the others.

    python -m tests.claims.graphics [FOLDER] [--quality 0 --quality 50 --quality 100]

FOLDER is searched for PNGs; without it the installed packages are: icons, logos, plots, scikit-image's pictures. A line
a picture says at each quality the bytes of the stream and its PSNR, or that it is kept; at the end how many were.
"""

import pathlib
import sysconfig

import click

from components.evaluation import classic, rate_distortion
from components.kinds.pictures.pictures import normalize
from components.serving.codec_family import RateChoice
from components.serving.released_codecs import ReleasedRates
from models.entropy.coder import header
from pipeline.client.codecs import CODECS, released_folder


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path))
@click.option("--quality", "qualities", multiple=True, type=click.IntRange(0, 100), default=(0, 50, 100))
def main(folder, qualities) -> None:
    """Codes every PNG of a folder at some qualities."""
    codec = ReleasedRates(CODECS, released_folder)
    folder = folder or pathlib.Path(sysconfig.get_paths()["data"])
    kept, larger, paths = dict.fromkeys(qualities, 0), 0, sorted(folder.rglob("*.png"))
    worst = dict.fromkeys(qualities, 100.0)
    for path in paths:
        content = path.read_bytes()
        picture, cells = normalize(content), []
        original = classic.decode(picture.encoded)
        for quality in qualities:
            stream = codec.compress(picture.encoded, RateChoice(quality=quality)).stream
            kept[quality] += header.is_stored(stream)
            larger += len(stream) > len(content)
            psnr = rate_distortion.psnr_db(original, classic.decode(codec.decompress(stream)))
            worst[quality] = min(worst[quality], psnr)
            cells.append(f"{len(stream):,} {'kept' if header.is_stored(stream) else f'{psnr:.1f} dB'}")
        sides = f"{picture.width}x{picture.height}"
        click.echo(f"{path.relative_to(folder)} {sides} {len(content):,}: {' | '.join(cells)}")
    counts = ", ".join(f"{count} at {quality}" for quality, count in kept.items())
    least = ", ".join(f"{psnr:.1f} dB at {quality}" for quality, psnr in worst.items())
    click.echo(f"{len(paths)} pictures; kept: {counts}; worst: {least}; {larger} streams are larger than their PNG")


if __name__ == "__main__":
    main()
