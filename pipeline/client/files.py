"""Files in and files out: finds what was named, says where the results go, and turns one into the other."""

import collections
import contextlib
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import click

from components.kinds.files import is_hidden
from models.files import replacing
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, shown


class File(NamedTuple):
    """A file that was found, and its path below what was named, which its result keeps below --out."""

    path: pathlib.Path
    place: pathlib.PurePath


class Gathered(NamedTuple):
    """Files, and what was left out of folders, by kind."""

    files: list[File]
    left_out: collections.Counter[str]


def output_options(command: Callable) -> Callable:
    """The options that say where results go."""
    for option in (
        click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
        click.option("--out", required=True, type=PATH, help="Folder for the outputs; made if missing."),
    ):
        command = option(command)
    return command


def gather(inputs: Sequence[pathlib.Path], suffixes: Sequence[str]) -> Gathered:
    """The files that were named, and every file with one of the suffixes below the folders that were named.

    Raises:
      UserError: a path does not exist, or a folder holds no such file.
    """
    files: list[File] = []
    left_out: collections.Counter[str] = collections.Counter()
    for path in inputs:
        if path.is_dir():
            files += (File(file, file.relative_to(path)) for file in sorted(found_below(path, suffixes, left_out)))
        elif path.is_file():
            files.append(File(path, pathlib.PurePath(path.name)))
        else:
            raise UserError(f"{shown(path)}: no such file or folder")
    first: dict[pathlib.Path, File] = {}
    for file in files:
        first.setdefault(file.path, file)
    return Gathered(list(first.values()), left_out)


def found_below(folder: pathlib.Path, suffixes: Sequence[str], left_out: collections.Counter) -> list[pathlib.Path]:
    """What `below` finds; adds the others to `left_out`. Raises UserError if it finds nothing."""
    others: collections.Counter[str] = collections.Counter()
    found = list(below(folder, suffixes, others))
    if not found:
        holds = f" (it holds {said})" if (said := listed(others)) else ""
        raise UserError(f"{shown(folder)}: no file here ends in {', '.join(suffixes)}{holds}")
    left_out.update(others)
    return found


def below(folder: pathlib.Path, suffixes: Sequence[str], others: collections.Counter[str]) -> Iterator[pathlib.Path]:
    """The files with one of the suffixes below a folder; counts in `others`, by kind, what else there is.

    Hidden files, those of hidden folders and those that macOS adds to archives are such others; links to folders are
    not followed.
    """

    def unreadable(_) -> None:
        others["unreadable folder"] += 1

    for root, folders, names in os.walk(folder, onerror=unreadable):
        hidden = [name for name in folders if is_hidden(name)]
        others["hidden"] += len(hidden)
        others["linked folder"] += sum(os.path.islink(os.path.join(root, name)) for name in set(folders) - set(hidden))
        folders[:] = [name for name in folders if name not in hidden]
        for name in names:
            path = pathlib.Path(root, name)
            if is_hidden(name):
                others["hidden"] += 1
            elif path.suffix.lower() not in suffixes:
                others[path.suffix.lower() or "without ending"] += 1
            elif not path.is_file():
                others["broken link"] += 1
            else:
                yield path


def listed(others: collections.Counter[str]) -> str:
    """What was counted as text, the most frequent first."""
    return ", ".join(f"{count:,} {shown(kind)}" for kind, count in others.most_common() if count)


def tell_left_out(others: collections.Counter[str]) -> None:
    """Says on the error output what was left out; nothing if there is nothing."""
    if said := listed(others):
        click.echo(f"left out: {said}", err=True)


def plan(
    files: Sequence[File], out: pathlib.Path, suffix: str, overwrite: bool
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of (input, output); every output is `out`/<place of the input> with `suffix` for its ending.

    Where two inputs differ in their endings alone, these are kept: `a.jpg` and `a.png` become `a.jpg.kmp`, `a.png.kmp`.

    Raises:
      UserError: two inputs have one place, or an output exists and may not be overwritten.
    """
    stems = collections.Counter(file.place.with_name(file.place.stem) for file in files)
    pairs, sources = [], {}
    for path, place in files:
        alone = stems[place.with_name(place.stem)] == 1
        target = out / place.with_name((place.stem if alone else place.name) + suffix)
        if target in sources:
            both = f"{shown(sources[target])} and {shown(path)}"
            raise UserError(f"{both} would both become {shown(target)}; nothing was written")
        if os.path.lexists(target) and not overwrite:
            raise UserError(f"{shown(target)}: exists; give --overwrite to replace it. Nothing was written")
        sources[target] = path
        pairs.append((path, target))
    return pairs


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that appears under its name only when it is complete."""
    with replacing(path) as part:
        part.write_bytes(content)


def process(
    pairs: Sequence[tuple[pathlib.Path, pathlib.Path]],
    out: pathlib.Path,
    title: str,
    work: Callable[[Any], tuple[bytes, str]],
    parallel: int = 1,
    read: Callable[[pathlib.Path], Any] = pathlib.Path.read_bytes,
) -> None:
    """Turns every input into its output, with a progress bar and a line for each.

    Args:
      pairs: of `plan`. out: the folder of all outputs.
      work: what was read of an input -> (output's bytes, what its line says).
      parallel: how many inputs are worked on at a time, by threads.
      read: an input's path -> what `work` is given.

    Raises:
      UserError: at the end, when a file failed, or at once, when the user stopped or a server does not answer; the
        finished outputs are written.
    """
    from rich import console, progress

    from pipeline.client.remote import Refused, RemoteError

    screen = console.Console(highlight=False, markup=False, soft_wrap=True)
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    done = failed = 0
    with (
        progress.Progress(
            *columns, progress.TimeRemainingColumn(), console=screen, transient=True, disable=not screen.is_terminal
        ) as bar,
        contextlib.closing(_finished(pairs, work, parallel, read)) as finished,
    ):
        try:
            for source, target, result in bar.track(finished, len(pairs), description=title):
                try:
                    screen.print(f"{shown(source)} -> {shown(target)}  {result()}")
                    done += 1
                except (OSError, ValueError) as error:
                    if isinstance(error, RemoteError) and not isinstance(error, Refused):
                        raise UserError(f"{error}; {done} of {len(pairs)} files are done", status=1) from error
                    failed += 1
                    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
                    click.echo(f"error: {shown(source)}: {reason}", err=True)
        except KeyboardInterrupt:
            told = f"stopped; {done} of {len(pairs)} files are done, in {shown(out)}"
            raise UserError(told, status=130) from None
    if failed:
        others = f"the others are in {shown(out)}" if done else "nothing was written"
        raise UserError(f"{failed} of {len(pairs)} files failed; {others}")


def _finished(
    pairs, work: Callable, parallel: int, read: Callable
) -> Iterator[tuple[pathlib.Path, pathlib.Path, Callable[[], str]]]:
    """Each pair when its work was done, and a function that gives its line or raises what went wrong.

    Once it is closed nothing more is begun.
    """

    def whole(source: pathlib.Path, target: pathlib.Path) -> str:
        content, line = work(read(source))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)
        return line

    if parallel == 1:
        yield from ((source, target, functools.partial(whole, source, target)) for source, target in pairs)
        return
    pool = futures.ThreadPoolExecutor(parallel)
    try:
        begun = {pool.submit(whole, *pair): pair for pair in pairs}
        for future in futures.as_completed(begun):
            yield *begun[future], future.result
    finally:
        pool.shutdown(cancel_futures=True)
