"""What `predict` does with electrocardiograms: finds them, and answers them whole or in windows."""

import collections
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown
from pipeline.client.answers import answers, line, show
from pipeline.client.files import below, found_below, tell_left_out

SUFFIXES = (".hea", ".mat", ".dat")  # as `components.kinds.recordings.recordings` takes


def are_recordings(inputs: Sequence[pathlib.Path]) -> bool:
    """Whether what was named is, or holds, a recording."""
    return any(
        path.suffix.lower() in SUFFIXES
        or _header_of(path).is_file()
        or path.is_dir()
        and any(below(path, SUFFIXES, collections.Counter()))
        for path in inputs
    )


def find(inputs: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The recordings that were named (by a file, or as WFDB names a record: without ending) or lie below a folder.

    Header and signal are one recording. Says on the error output how many files of folders were left out.

    Raises:
      UserError: a path does not exist, or a folder holds no recording.
    """
    files: list[pathlib.Path] = []
    left_out: collections.Counter[str] = collections.Counter()
    for path in inputs:
        if path.is_dir():
            found = _without_parts(found_below(path, SUFFIXES, left_out))
            files += sorted(found, key=lambda p: (p.with_suffix(""), SUFFIXES.index(p.suffix.lower())))
        elif path.is_file():
            files.append(path)
        elif _header_of(path).is_file():
            files.append(_header_of(path))
        else:
            raise UserError(f"{shown(path)}: no such file, folder or record")
    tell_left_out(left_out)
    recordings: dict[pathlib.Path, pathlib.Path] = {}
    for file in files:
        recordings.setdefault(file.with_suffix("") if file.suffix.lower() in SUFFIXES else file, file)
    return list(recordings.values())


def _without_parts(files: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Files of a folder without those that belong to a header among them: segments, and signals of other names."""
    from components.kinds.recordings.headers import parts_of

    files = list(files)
    segments, signals = parts_of({os.fspath(f): f.read_bytes() for f in files if f.suffix.lower() == ".hea"})
    return [file for file in files if os.fspath(file) not in segments | signals]


def _header_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.hea")


def run(inputs, predictor, count: int, lead: int | None, window: float | None, step: float, parallel: int = 1) -> bool:
    """Prints what recordings show; returns whether there was no error.

    Args:
      inputs: files and folders. predictor: its `best` takes signals. count: classes of a line.
      lead: that is read; None: the first that is named like one of an electrocardiogram.
      parallel: requests at a time.
      window, step: seconds of a window and from one to the next; no window: a recording is answered as a whole.

    Raises:
      UserError: a path does not exist, or holds no recording.
    """
    files = find(inputs)
    from components.kinds.recordings import recordings
    from components.kinds.recordings.stream import stream

    if window is None:
        read = {file: lambda file=file: recordings.read(file, lead).samples for file in files}
        return show(answers(read.items(), predictor, count, parallel))
    return all([_show_windows(file, stream(file, lead), predictor, count, window, step, parallel) for file in files])


def _show_windows(file, pieces, predictor, count: int, window: float, step: float, parallel: int) -> bool:
    """Prints the windows of one recording and the share of each class; returns whether there was no error.

    A window counts by its length: the last one of a file is as long as what is left.
    """
    shares, lengths, count_all, whole = collections.Counter(), {}, 0, True
    for answer in answers(_measured(windows(file, pieces, window, step), lengths), predictor, count, parallel):
        whole &= show([answer])
        length = lengths.pop(answer.key, 0)
        count_all += bool(answer.best)
        shares.update({name: length for name, _ in answer.best[:1]})
    if shares:
        total = shares.total()
        click.echo(line((os.fspath(file), f"{count_all} windows"), ((n, c / total) for n, c in shares.most_common())))
    return whole


def _measured(inputs, lengths: dict) -> Iterator[tuple]:
    """The inputs, which note how many samples each has when it is read."""

    def measure(key, read):
        samples = read()
        lengths[key] = len(samples)
        return samples

    for key, read in inputs:
        yield key, functools.partial(measure, key, read)


def windows(file, pieces, window: float, step: float) -> Iterator[tuple[tuple[str, str], Callable]]:
    """The windows of a signal that begin every `step` seconds, up to the first that reaches its end.

    That one is as long as what is left, if this is at least a second. Where the signal cannot be read further, the
    function that comes last raises the error.

    Args:
      file: of the recording. pieces: of its signal at 300 Hz, float32 [T] each. window, step: seconds.

    Yields:
      (path, start in seconds), and a function that gives the samples.
    """
    import numpy as np

    from components.kinds.recordings.recordings import RecordingError
    from models.records.ecg_units import RATE

    size, stride = round(window * RATE), max(1, round(step * RATE))
    path, start, kept = os.fspath(file), 0, np.zeros(0, np.float32)
    failed = None
    try:
        for piece in pieces:
            kept, begin = np.concatenate([kept, piece]), 0
            while len(kept) - begin > size:  # it goes on behind this window
                samples = kept[begin : begin + size]
                yield (path, f"{(start + begin) / RATE:.2f}"), lambda samples=samples: samples
                begin += stride
            kept, start = kept[begin:], start + begin
    except RecordingError as error:
        failed = error
    if len(kept) >= RATE:
        yield (path, f"{start / RATE:.2f}"), lambda: kept
    if failed:
        yield file, functools.partial(_raise, failed)


def _raise(error: Exception) -> None:
    raise error
