"""Files of coded clips to frames; a damaged group costs its frames only, and the error says which."""

import pathlib
import time
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.serving.served_model import ServedModelError
from models.video.film import Film, FilmError, Group, GroupError
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import must_be_writable, shown
from pipeline.client.clips.coding import work_through
from pipeline.client.clips.outputs import FORMATS, Output
from pipeline.client.clips.progress import Frames
from pipeline.client.files import File, plan


class _Job(NamedTuple):
    source: pathlib.Path
    target: pathlib.Path


def decompress(
    files: Sequence[File], models: Sequence[pathlib.Path], out: pathlib.Path, overwrite: bool, form: str
) -> None:
    """Decodes files of coded clips to OUT/<path below the folder>, as of `outputs.FORMATS`.

    Raises:
      UserError: no model; an output exists; at the end, when a clip failed; at once, when the user stopped.
    """
    if not models:
        raise UserError("no codec of clips is released: give the one that wrote them by --model DIR")
    from components.video.served_video import VideoFamily

    jobs = [_Job(*pair) for pair in plan(files, out, FORMATS[form].suffix, overwrite)]
    must_be_writable("--out", out)
    family = VideoFamily(models)
    work_through(jobs, out, "decompressing", lambda job, bar: _decode(job, family, form, bar))


def _decode(job: _Job, family, form: str, bar: Frames) -> str:
    begin = time.perf_counter()
    with Film(job.source) as film:
        codec = family.reader_of(film.header.fingerprint)
        if not film.groups:
            raise FilmError("there is no group in it that can be read")
        lost = list(film.lost)
        identity = zlib.crc32(repr((film.header, film.groups)).encode())
        with FORMATS[form](job.target, film.header, identity) as output:
            new = _write(film, codec, output, lost, bar)
            if not output.frames:
                raise GroupError(f"all its frames are lost: {'; '.join(lost)}")
        count = output.frames
    if film.is_cut:
        lost.append(f"frames from {film.frames} on (the file is cut off there)")
    if lost:
        raise GroupError(f"{', '.join(lost)} are lost; {shown(job.target)} holds the other {count}")
    seconds = max(time.perf_counter() - begin, 1e-9)
    header = film.header
    line = f"{count:,} frames  {header.width}x{header.height} pixels  {new / seconds:.2f} frames/s"
    if new < count:
        line += f"  (went on after {count - new} frames)"
    return line + "".join(f"; {sentence}" for sentence in film.damage)


def _write(film: Film, codec, output: Output, lost: list[str], bar: Frames) -> int:
    """Writes what is not there yet, and adds to `lost` what cannot be read; returns how many frames are new."""
    there = done = 0  # frames of a call before, and those of them in whole groups
    if output.frames:
        for group in film.groups:
            there += group.frames if _stream(film, group, []) is not None else 0
            if there > output.frames:
                break
            done = there
    output.keep(done)
    bar.begin(film.frames, done)
    passed = 0
    for group in film.groups:
        stream = _stream(film, group, lost)
        if stream is None:
            continue
        passed += group.frames
        if passed > done:
            frames = _decoded(film, codec, group, stream, lost)
            if frames is None:
                output.can_go_on = False  # its frames would be missed when those of a part are counted
            else:
                output.add(frames, group.first)
        bar.advance(group.frames if passed > done else 0)
    return output.frames - done


def _stream(film: Film, group: Group, lost: list[str]) -> bytes | None:
    try:
        return film.read(group)
    except GroupError:
        lost.append(str(group))
        return None


def _decoded(film: Film, codec, group: Group, stream: bytes, lost: list[str]) -> np.ndarray | None:
    """The frames of a group; those that the model refuses, or that are not what the file says, are lost."""
    try:
        frames = codec.decompress(stream)
    except ServedModelError as error:
        lost.append(f"{group} ({error})")
        return None
    wanted = (group.frames, film.header.height, film.header.width, 3)
    if frames.shape != wanted:
        lost.append(f"{group} (frames of {frames.shape} in place of {wanted})")
        return None
    return frames
