"""The commands that use a pushed codec on files: `compress` and `decompress`; and `report`, which rebuilds the page.

TensorFlow is imported only once the arguments have been checked, so that help and mistakes are answered at once.
"""

import collections
import io
import os
import pathlib
from collections.abc import Callable, Sequence

import click

from pipeline.given import UserError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp")  # as `components.pictures` takes
STREAM_SUFFIX = ".kmp"
RECORDING_SUFFIXES = (".hea", ".mat", ".dat")  # as `components.recordings` takes
RELEASED = {"codec": "edic", "ecg": "ecg_crnn"}  # of `models.released`, what is used where no model is given
_PATHS = click.Path(path_type=pathlib.Path)


def gather(inputs: Sequence[pathlib.Path], suffixes: Sequence[str]) -> list[pathlib.Path]:
    """The files that were named, and every file with one of the suffixes below the folders that were named.

    Raises:
      UserError: a path does not exist, or a folder holds no such file.
    """
    files: list[pathlib.Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            if not found:
                raise UserError(f"{path}: no file here ends in {', '.join(suffixes)}")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(dict.fromkeys(files))


def plan(
    files: Sequence[pathlib.Path], out: pathlib.Path, suffix: str, overwrite: bool
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of (input, output); every output is `out`/<stem><suffix>.

    Raises:
      UserError: two inputs share a stem, an output exists and may not be overwritten, or `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out takes a folder")
    stems = collections.defaultdict(list)
    for file in files:
        stems[file.stem].append(file)
    for stem, same in stems.items():
        if len(same) > 1:
            target = out / (stem + suffix)
            raise UserError(f"{same[0]} and {same[1]} would both become {target}; nothing was written")
    pairs = [(file, out / (file.stem + suffix)) for file in files]
    for _, target in pairs:
        if target.exists() and not overwrite:
            raise UserError(f"{target}: exists; give --overwrite to replace it. Nothing was written")
    return pairs


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that appears under its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def released_folder(kind: str) -> pathlib.Path:
    """The folder of the released model of a kind.

    Raises:
      UserError: there are no released weights, or the file is damaged.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from components import released_model

    try:
        return released_model.directory_of(RELEASED[kind], lambda line: click.echo(line, err=True))
    except ValueError as error:
        raise UserError(f"{error}; give --model DIR or --url http://HOST:PORT/v1/models/NAME") from error


def open_codec(models: Sequence[pathlib.Path], url: str | None, family: bool, refine: int = 0):
    """The codec at a folder, the rate points of folders (`family`), or what is served behind a URL.

    All have `decompress`, bytes to bytes; `compress` of a family also takes what rate is wanted; `refine` is its own.

    Raises:
      UserError: neither or both are given, or there is no codec.
    """
    if bool(models) == (url is not None):
        raise UserError("give either --model DIR or --url http://HOST:PORT/v1/models/NAME")
    try:
        if url is not None:
            from pipeline.rest import RestCodec

            return RestCodec(url)
        from components import process_memory
        from components.codec_family import CodecFamily
        from components.served_codec import ServedCodec, newest_version

        process_memory.be_frugal()
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        return CodecFamily(models, refine) if family else ServedCodec(newest_version(models[0]))
    except ValueError as error:
        raise UserError(str(error)) from error


def _rate_choice(models: Sequence[pathlib.Path], url: str | None, **wanted: float | None):
    """The RateChoice of the command's options; None if a single model is to code as it does by itself.

    Raises:
      UserError: options that need rate points, or several models without one of these options.
    """
    from components.codec_family import RateChoice
    from components.served_codec import describe, is_variable, newest_version

    given = any(value is not None for value in wanted.values())
    if len(models) < 2 and not given:
        return None
    if url is not None:
        raise UserError("--quality and the targets are for models of this machine (--model)")
    try:
        if len(models) == 1 and not is_variable(describe(newest_version(models[0]))):
            raise UserError(f"{models[0]}: a model of one rate; --quality and the targets pick among several "
                               "(--model given for each) or in one of variable rate")  # fmt: skip
        return RateChoice(**wanted)
    except ValueError as error:
        raise UserError(f"rate points: {error} (--quality, --target-bpp, --target-psnr)") from error


def process(
    pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], title: str, work: Callable[[bytes], tuple[bytes, str]]
) -> None:
    """Turns every input into its output, with a progress bar and a line for each.

    Args:
      work: an input's bytes -> (output's bytes, what its line says).

    Raises:
      UserError: at the end, when a file failed or the user stopped; the finished outputs are written.
    """
    from rich import console, progress

    screen = console.Console(highlight=False, markup=False, soft_wrap=True)
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    done = failed = 0
    with progress.Progress(
        *columns, progress.TimeRemainingColumn(), console=screen, transient=True, disable=not screen.is_terminal
    ) as bar:
        for source, target in bar.track(pairs, description=title):
            try:
                content, line = work(source.read_bytes())
                target.parent.mkdir(parents=True, exist_ok=True)
                write_whole(target, content)
                done += 1
                screen.print(f"{source} -> {target}  {line}")
            except (OSError, ValueError) as error:
                failed += 1
                reason = getattr(error, "strerror", None) or " ".join(str(error).split())
                click.echo(f"error: {source}: {reason}", err=True)
            except KeyboardInterrupt:
                stop = UserError(f"stopped; {done} of {len(pairs)} files are done, in {target.parent}")
                stop.exit_code = 130
                raise stop from None
    if failed:
        others = f"the others are in {pairs[0][1].parent}" if done else "nothing was written"
        raise UserError(f"{failed} of {len(pairs)} files failed; {others}")


def _options(command: Callable) -> Callable:
    for option in (
        click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
        click.option("--out", required=True, type=_PATHS, help="Folder for the outputs; made if missing."),
        click.option("--url", help="A served model instead: http://HOST:8501/v1/models/NAME."),
        click.option(
            "--model",
            "models",
            multiple=True,
            type=_PATHS,
            help="A pushed model's folder, or a folder of versions (newest taken); repeat for several rate points. "
            "[default: the released codec]",
        ),
    ):
        command = option(command)
    return command  # fmt: skip


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=_PATHS)
@_options
@click.option("--psnr", is_flag=True, help="Decode each stream as well and print the PSNR.")
@click.option("--quality", type=float, help="Among rate points: 0 (smallest files) to 100 (best pictures).")
@click.option("--target-bpp", type=float, help="The rate point nearest to these bits per pixel.")
@click.option("--target-psnr", "target_psnr_db", type=float, help="The same for the PSNR in dB.")
@click.option(
    "--refine",
    type=click.IntRange(0, 100),
    default=0,
    help="Passes that search for better latents; 16 take some seconds, for 9 % fewer bits at equal PSNR (Kodak).",
)
def compress(pictures, models, url, out, overwrite, psnr, refine, **wanted):
    """Compress PICTURES (files, or folders searched through) to OUT/<stem>.kmp."""
    pairs = plan(gather(pictures, PICTURE_SUFFIXES), out, STREAM_SUFFIX, overwrite)
    if refine and url is not None:
        raise UserError("--refine is for models of this machine (--model)")
    models = models if models or url is not None else (released_folder("codec"),)
    choice = _rate_choice(models, url, **wanted)
    codec = open_codec(models, url, choice is not None, refine)
    from components import classic, rate_distortion
    from components import pictures as pictures_

    def work(content: bytes) -> tuple[bytes, str]:
        picture = pictures_.normalize(content)
        if choice:
            stream, lmbda = codec.compress(picture.encoded, choice)
        else:
            stream = codec.compress(picture.encoded, refine=refine) if refine else codec.compress(picture.encoded)
        line = f"{len(stream):,} bytes  {8 * len(stream) / (picture.height * picture.width):.4f} bpp"
        line += f"  lambda {lmbda:g}" if choice else ""
        if psnr:
            original, decoded = classic.decode(picture.encoded), classic.decode(codec.decompress(stream))
            line += f"  {rate_distortion.psnr_db(original, decoded):.2f} dB"
        return stream, line

    process(pairs, "compressing", work)


@click.command()
@click.argument("streams", nargs=-1, required=True, type=_PATHS)
@_options
def decompress(streams, models, url, out, overwrite):
    """Decompress STREAMS (files, or folders searched for *.kmp) to OUT/<stem>.png."""
    pairs = plan(gather(streams, (STREAM_SUFFIX,)), out, ".png", overwrite)
    models = models if models or url is not None else (released_folder("codec"),)
    codec = open_codec(models, url, len(models) > 1)
    from PIL import Image

    def work(content: bytes) -> tuple[bytes, str]:
        image = codec.decompress(content)
        with Image.open(io.BytesIO(image)) as header:
            width, height = header.size
        return image, f"{width}x{height} pixels  {len(image):,} bytes"

    process(pairs, "decompressing", work)


@click.command()
@click.argument("run", type=click.Path(path_type=pathlib.Path))
def report(run):
    """Rebuild RUN/report.html from what the run measured (RUN/report.json)."""
    from components.report import build

    try:
        click.echo(build.rebuild(run))
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
