"""The codec that a command uses: released, pushed, several of them, or behind a server."""

import os
import pathlib
from collections.abc import Callable, Sequence

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH

STREAM_SUFFIX = ".kmp"
_RELEASED = {"codec": "edic", "ecg": "ecg_crnn"}  # of `models.publishing.released`, what is used without a model


def model_options(command: Callable) -> Callable:
    """The options that say which codec is used."""
    for option in (
        click.option("--url", help="A served model instead: http://HOST:8501/v1/models/NAME."),
        click.option(
            "--model",
            "models",
            multiple=True,
            type=PATH,
            help="A pushed model's folder, or a folder of versions (newest taken); repeat for several rate points. "
            "[default: the released codec]",
        ),
    ):
        command = option(command)
    return command


def must_be_one(models: Sequence[pathlib.Path], url: str | None) -> None:
    """Raises UserError if both are given, or the URL is none."""
    if models and url is not None:
        raise UserError("give either --model DIR or --url http://HOST:PORT/v1/models/NAME")
    if url is not None:
        from pipeline.client.rest import RestModel

        RestModel(url)


def wish(models: Sequence[pathlib.Path], url: str | None, refine: int, **wanted: float | None):
    """The RateChoice of the options; None if a single model is to code as it does by itself. Loads no model.

    Raises:
      UserError: options that exclude each other or need rate points, or several models without one of these options.
    """
    must_be_one(models, url)
    given = any(value is not None for value in wanted.values())
    if url is not None and refine:
        raise UserError("--refine is for models of this machine (--model)")
    if url is not None and given:
        raise UserError("--quality and the targets are for models of this machine (--model)")
    if len(models) < 2 and not given:
        return None
    from components.serving.codec_family import RateChoice
    from components.serving.served_codec import describe, is_variable, newest_version

    try:
        choice = RateChoice(**wanted)
    except ValueError as error:
        raise UserError(f"rate points: {error} (--quality, --target-bpp, --target-psnr)") from error
    if len(models) == 1 and not is_variable(describe(newest_version(models[0]))):
        raise UserError(f"{models[0]}: a model of one rate; --quality and the targets pick among several "
                        "(--model given for each) or in one of variable rate")  # fmt: skip
    return choice


def released_folder(kind: str) -> pathlib.Path:
    """The folder of the released model of a kind, "codec" or "ecg"; the first call makes it.

    Raises:
      UserError: there are no released weights, the file is damaged, or the cache cannot be written.
    """
    from components.serving import released_model
    from models.publishing.released import ReleaseError

    try:
        return released_model.directory_of(_RELEASED[kind], lambda line: click.echo(line, err=True))
    except ReleaseError as error:
        raise UserError(f"{error}; give --model DIR or --url http://HOST:PORT/v1/models/NAME") from error


def open_codec(models: Sequence[pathlib.Path], url: str | None, family: bool, refine: int = 0):
    """The codec at a folder, the rate points of folders (`family`), what is served at a URL, or the released one.

    All have `decompress`, bytes to bytes; `compress` of a family also takes what rate is wanted; `refine` is its own.

    Raises:
      KompaktError: there is no codec.
    """
    if url is not None:
        from pipeline.client.rest import RestCodec

        return RestCodec(url)
    from components import process_memory
    from components.serving.codec_family import CodecFamily
    from components.serving.served_codec import ServedCodec, newest_version

    models = models or (released_folder("codec"),)
    process_memory.be_frugal()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return CodecFamily(models, refine) if family else ServedCodec(newest_version(models[0]))
