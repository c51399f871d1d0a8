"""`compress --report`: what it is not for, the page of a command's codec, and writing it whatever happens."""

import contextlib
import datetime
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import must_be_writable, shown
from pipeline.client.files import write_whole

_QUALITIES = (0, 25, 50, 75, 100)  # of a variable-rate model, for its curve


def must_be_for_pictures(path: pathlib.Path, clips: bool, url: str | None, lossless: bool) -> None:
    """Raises UserError where no page can be made, or for a name that is not of one. Loads no model."""
    if clips:
        raise UserError("--report is for pictures; of clips a run's report says as much")
    if url is not None:
        raise UserError("--report measures a codec on this machine: give --model DIR in place of --url")
    if lossless:
        raise UserError("--report compares at equal loss and bytes: leave out --lossless")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {shown(path)}: wanted is the name of a page, FILE.html")


def must_be_free(path: pathlib.Path, targets: Sequence[pathlib.Path], overwrite: bool) -> None:
    """Raises UserError for a page that exists and may not be replaced, cannot be written, or takes a stream's place."""
    if path.is_dir():
        raise UserError(f"--report {shown(path)}: is a folder; wanted is the name of a page, FILE.html")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{shown(path)}: exists; give --overwrite to replace it. Nothing was written")
    for target in targets:
        if path in target.parents or target in path.parents:
            raise UserError(f"--report {shown(path)}: is in the way of {shown(target)}; nothing was written")
    must_be_writable("--report", path.parent)


class Reporter:
    """The page of one command, told of each picture in turn.

    Args:
      path: of the page. codec: of `pipeline.client.codecs.open_codec`. compress: a picture file's bytes to a stream, as
        the command is asked to, by a RateChoice or None, and in so many passes.
    """

    def __init__(self, path: pathlib.Path, codec, compress: Callable[[bytes], bytes], choice, refine: int):
        from components.report.pictures.measured import Codec
        from components.report.pictures.page import PicturesPage

        self._path, self._source = path, path
        measured = Codec(compress, codec.decompress, _curve(codec, refine))
        with contextlib.suppress(ValueError):  # it is the user's pictures that are told of
            measured.warm_up()
        about = _describe(codec)
        told = [f"model fingerprint {about['fingerprint']}"] if "fingerprint" in about else []
        told += [_asked(choice, refine), f"{datetime.datetime.now():%Y-%m-%d %H:%M}"]
        self._page = PicturesPage(measured, about.get("recipe", "a codec"), " · ".join(told))

    def read(self, source: pathlib.Path) -> bytes:
        """A picture file, which is the one that `add` is told of next."""
        self._source = source
        return source.read_bytes()

    def add(self, picture, stream: bytes, encode_s: float) -> None:
        """Measures the stream that was made of a `Picture` in so many seconds. Raises ValueError: it is not read."""
        self._page.add(shown(self._source), picture.channels, picture.encoded, stream, encode_s)

    @contextlib.contextmanager
    def writing(self, asked: int) -> Iterator[None]:
        """Writes the page when the block ends, also where it was stopped; no page without a picture.

        Args:
          asked: how many pictures are to be coded.
        """
        try:
            yield
        finally:
            if self._page.pictures:
                page = self._page.render(asked)
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._path, page.encode())
                click.echo(f"report: {shown(self._path)}")


def _describe(codec) -> dict:
    """What is said of the model, or of the first of several rate points."""
    from components.serving.served_codec import describe

    return codec.description if hasattr(codec, "description") else describe(codec.points[0].model)


def _asked(choice, refine: int) -> str:
    """Words for how the command codes."""
    told = "as the model codes by itself"
    if choice:
        names = {"quality": "quality {:g}", "target_bpp": "target {:g} bpp", "target_psnr_db": "target {:g} dB"}
        told = ", ".join(
            text.format(value) for name, text in names.items() if (value := getattr(choice, name)) is not None
        )
    return f"{told}, refined in {refine} passes" if refine else told


def _curve(codec, refine: int) -> list[Callable[[bytes], bytes]]:
    """Ways of coding at up to five of the codec's rates, the lowest first; none for a model of one rate."""
    from components.serving.codec_family import Rates
    from components.serving.served_codec import is_variable

    if isinstance(codec, Rates):
        places = sorted({round(quality / 100 * (codec.count - 1)) for quality in _QUALITIES})
        return [functools.partial(codec.compress_at, place) for place in places if len(places) > 1]
    if not is_variable(codec.description):
        return []
    return [functools.partial(codec.compress, quality=quality, refine=refine) for quality in _QUALITIES]
