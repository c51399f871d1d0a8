"""The codec that a command uses: released, pushed, several of them, or behind a server."""

import os
import pathlib
from collections.abc import Callable, Sequence

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH
from pipeline.client.urls import must_be_url

STREAM_SUFFIX = ".kmp"
# Of `models.publishing.released`, what is used without a model. Qualities go through all codecs, each from the one of
# its own on that is given here, with which training photographs are a little better than at the end of the one before.
CODECS, LOSSLESS, ECG = {"edic": 0, "lapped_hyperprior": 2}, "lossless", "ecg_crnn"
DEFAULT_QUALITY = 50

_SERVER_OPTIONS = (
    click.option("--url", help="A served model instead: http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/..."),
    click.option("--wait", default=60.0, show_default=True, type=click.FloatRange(0), metavar="S",
                 help="With --url: ask a server that is away or busy again for S seconds."),
    click.option("--parallel", default=1, show_default=True, type=click.IntRange(1, 256), metavar="N",
                 help="With --url: requests at a time."),
)  # fmt: skip


def server_options(command: Callable) -> Callable:
    """The options of a command that asks a server."""
    for option in _SERVER_OPTIONS:
        command = option(command)
    return command


def model_options(command: Callable) -> Callable:
    """The options that say which codec is used."""
    for option in (
        *_SERVER_OPTIONS,
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


def must_be_one(models: Sequence[pathlib.Path], url: str | None, parallel: int = 1) -> None:
    """Raises UserError if both are given, the URL is none, or requests at a time are wanted of no server."""
    if models and url is not None:
        raise UserError("give either --model DIR or --url http://HOST:PORT/v1/models/NAME")
    if url is None and parallel > 1:
        raise UserError("--parallel is for a served model (--url); a model of this machine takes all its cores")
    if url is not None:
        must_be_url(url)


def wish(models: Sequence[pathlib.Path], url: str | None, **wanted: float | None):
    """The RateChoice of the options; None if a single model is to code as it does by itself. Loads no model.

    Without a model the released codecs are meant, of which a quality chooses.

    Raises:
      UserError: options that exclude each other or need rate points, or several models without one of these options.
    """
    given = any(value is not None for value in wanted.values())
    released = not models and url is None
    if len(models) < 2 and not given and not released:
        return None
    from components.serving.codec_family import RateChoice
    from components.serving.served_codec import describe, is_variable, newest_version

    if released and not given:
        return RateChoice(quality=DEFAULT_QUALITY)
    try:
        choice = RateChoice(**wanted)
    except ValueError as error:
        raise UserError(f"rate points: {error} (--quality, --target-bpp, --target-psnr)") from error
    if url is None and len(models) == 1 and not is_variable(describe(newest_version(models[0]))):
        raise UserError(f"{models[0]}: a model of one rate; --quality and the targets pick among several "
                        "(--model given for each) or in one of variable rate")  # fmt: skip
    return choice


def released_folder(name: str) -> pathlib.Path:
    """The folder of a released model; the first call makes it.

    Raises:
      UserError: there are no released weights, the file is damaged, or the cache cannot be written.
    """
    from components.serving import released_model
    from models.publishing.released import ReleaseError

    try:
        return released_model.directory_of(name, lambda line: click.echo(line, err=True))
    except ReleaseError as error:
        raise UserError(f"{error}; give --model DIR or --url http://HOST:PORT/v1/models/NAME") from error


def open_codec(
    models: Sequence[pathlib.Path], url: str | None, family: bool, refine: int = 0, wait: float | None = None
):
    """The codec at a folder, the rate points of folders (`family`), what is served at a URL, or the released ones.

    All have `decompress`, bytes to bytes; `compress` of a family also takes what rate is wanted; `refine` is its own.

    Raises:
      KompaktError: there is no codec.
    """
    if url is not None:
        from pipeline.client.remote import RemoteCodec, open_model

        codec = RemoteCodec(open_model(url, wait))
        if not family:
            return codec
        from pipeline.client.remote_rates import RemoteRates

        return RemoteRates(codec, url, refine)
    from components import process_memory
    from components.serving.codec_family import CodecFamily
    from components.serving.served_codec import ServedCodec, newest_version

    process_memory.be_frugal()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not models:
        return _released_rates(refine)
    return CodecFamily(models, refine) if family else ServedCodec(newest_version(models[0]))


def _released_rates(refine: int):
    from components.serving.released_codecs import ReleasedRates
    from models.publishing import released

    try:
        return ReleasedRates(CODECS, released_folder, refine)
    except released.ReleaseError as error:
        raise UserError(f"{error}; give --model DIR or --url http://HOST:PORT/v1/models/NAME") from error


def open_lossless(models: Sequence[pathlib.Path], url: str | None, wait: float | None = None):
    """A codec without loss: the one at a folder or a URL, or the released one.

    Raises:
      KompaktError: there is no codec, or it is one with loss.
    """
    if url is None:
        from components.serving.served_codec import describe, newest_version

        models = models or (released_folder(LOSSLESS),)
        if len(models) > 1:
            raise UserError("--lossless takes one model")
        about = describe(newest_version(models[0]))
        if not about.get("lossless", "lmbda" not in about.get("config", {})):  # earlier exports do not say it
            raise UserError(f"{models[0]}: a codec with loss; --lossless takes one without")
    return open_codec(models, url, False, wait=wait)


def open_reader(models: Sequence[pathlib.Path], url: str | None, wait: float | None = None):
    """What decodes streams: the models given, or whichever released codec wrote one.

    Raises:
      KompaktError: there is no codec.
    """
    if models or url is not None:
        return open_codec(models, url, len(models) > 1, wait=wait)
    from components import process_memory
    from components.serving import released_model
    from components.serving.released_codecs import ReleasedCodecs
    from models.publishing import released

    names = [name for name in (*CODECS, LOSSLESS) if name in released.names()]
    names.sort(key=lambda name: not released_model.is_prepared(name))  # who asks first waits for none
    process_memory.be_frugal()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return ReleasedCodecs(names or list(CODECS), released_folder)
