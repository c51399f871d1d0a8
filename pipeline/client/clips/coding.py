"""Clips to files of coded clips, group by group; what was stopped goes on at the next group."""

import collections
import hashlib
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import click
import numpy as np

from components.kinds.clips import places
from components.kinds.clips.reading import Broken, ClipError
from models.video import film
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import must_be_writable, shown
from pipeline.client.clips.progress import Frames
from pipeline.client.files import File, listed, plan, tell_left_out

_FOLDER = ".frames"  # an ending that a folder of frames is planned with, so that dots in its name stay


class _Job(NamedTuple):
    """A clip, where it goes to, and what it is made of and by, below 2**64."""

    source: pathlib.Path
    target: pathlib.Path
    origin: int


def gathered(inputs: Sequence[pathlib.Path]) -> tuple[list[File], collections.Counter[str]]:
    """The clips that were named, those below the folders that were named, and what was left out, by kind.

    Raises:
      UserError: a path does not exist, or a folder holds no clip.
    """
    files: list[File] = []
    left_out: collections.Counter[str] = collections.Counter()
    for path in inputs:
        if not path.is_dir():
            if not path.is_file():
                raise UserError(f"{shown(path)}: no such file or folder")
            files.append(File(path, pathlib.PurePath(path.name)))
            continue
        others: collections.Counter[str] = collections.Counter()
        found = list(places.below(str(path), others))
        if not found:
            holds = f" (it holds {said})" if (said := listed(others)) else ""
            raise UserError(f"{shown(path)}: no clip and no folder of frames here{holds}")
        left_out.update(others)
        for name in found:
            whole = path / name
            place = pathlib.PurePath(name or path.resolve().name)
            files.append(File(whole, place.with_name(place.name + _FOLDER) if whole.is_dir() else place))
    return list({file.path: file for file in files}.values()), left_out


def compress(
    clips: Sequence[pathlib.Path], model: pathlib.Path, out: pathlib.Path, overwrite: bool, quality: int | None,
    psnr: bool,
) -> None:  # fmt: skip
    """Codes clips to OUT/<path below the folder>.kmv, with progress in frames and a line for each.

    Args:
      model: a pushed video codec. quality: of `ServedVideo.compress`. psnr: whether each group is decoded again.

    Raises:
      UserError: nothing can begin; at the end, when a clip failed; at once, when the user stopped.
    """
    from components.video.served_video import ServedVideo

    files, left_out = gathered(clips)
    pairs = plan(files, out, film.SUFFIX, overwrite=True)
    must_be_writable("--out", out)
    codec = ServedVideo(model)
    if quality is not None and not codec.is_variable:
        raise UserError(f"{shown(model)}: a model of one rate; --quality chooses in one of variable rate")
    jobs = [_Job(source, target, _origin(source, codec.fingerprint, quality)) for source, target in pairs]
    for job in jobs:
        if not overwrite and job.target.exists() and not _done(job):
            raise UserError(f"{shown(job.target)}: exists; give --overwrite to replace it. Nothing was written")
    tell_left_out(left_out)
    work_through(jobs, out, "compressing", lambda job, bar: _code(job, codec, quality, psnr, overwrite, bar))


def work_through(jobs: Sequence, out: pathlib.Path, title: str, work: Callable) -> None:
    """Does all jobs, which have a `source` and a `target`, and goes on after one that failed.

    Args:
      work: a job and `Frames` -> what its line says. Raises KompaktError or OSError: it failed.

    Raises:
      UserError: at the end, when one failed; at once, when the user stopped.
    """
    done = failed = 0
    with Frames(title) as bar:
        for job in jobs:
            try:
                bar.say(f"{shown(job.source)} -> {shown(job.target)}  {work(job, bar)}")
                done += 1
            except (OSError, ValueError, UserError) as error:
                failed += 1
                reason = getattr(error, "strerror", None) or " ".join(str(error).split())
                click.echo(f"error: {shown(job.source)}: {reason}", err=True)
            except KeyboardInterrupt:
                told = f"stopped; {done} of {len(jobs)} clips are done, in {shown(out)}"
                kept = f", and {bar.frames} frames of {shown(job.source)}" if bar.frames else ""
                raise UserError(f"{told}{kept}; the same command goes on from there", status=130) from None
    if failed:
        raise UserError(f"{failed} of {len(jobs)} clips failed; what can be read of all is in {shown(out)}")


def _origin(source: pathlib.Path, fingerprint: int, quality: int | None) -> int:
    """A number that another content, model or quality changes; OSError says its reason when the clip is opened."""
    try:
        digest = places.digest_of(str(source))[0]
    except OSError:
        digest = ""
    return int(hashlib.sha256(f"{digest} {fingerprint:08x} {quality}".encode()).hexdigest()[:16], 16)


def _done(job: _Job) -> film.Film | None:
    """The target, already closed, if it is what the job would make."""
    try:
        with film.Film(job.target) as found:
            return found if found.is_whole and found.header.origin == job.origin else None
    except film.FilmError:
        return None


def _code(job: _Job, codec, quality: int | None, psnr: bool, overwrite: bool, bar: Frames) -> str:
    if not overwrite and (done := _done(job)):
        if done.broke_off:
            raise ClipError(f"breaks off after {done.frames} frames; {shown(job.target)}, there already, holds these")
        return "is there already"
    with places.open_clip(job.source) as clip:
        about = clip.about
        header = film.Header(
            codec.fingerprint, job.origin, about.width, about.height, about.rate, about.colour_range, about.matrix,
            codec.group,
        )  # fmt: skip
        job.target.parent.mkdir(parents=True, exist_ok=True)
        begin, decibels, broken = time.perf_counter(), [], None
        with film.Writer(job.target, header) as writer:
            first = writer.frames
            bar.begin(about.frames, first)
            try:
                for frames in groups_of(clip.frames(first), codec.group):
                    stream = codec.compress(frames, quality)
                    if psnr:
                        decibels += _psnr(frames, codec.decompress(stream))
                    writer.add(stream, len(frames))
                    bar.advance(len(frames))
            except Broken as error:
                if not writer.frames:
                    raise ClipError(str(error)) from error
                broken, writer.broke_off = error, True
    seconds = time.perf_counter() - begin
    line = _line(job.target, writer.frames, writer.frames - first, about, seconds, decibels)
    if broken:
        raise ClipError(f"{broken}; {shown(job.target)} holds what is before ({line})")
    return line


def _line(target: pathlib.Path, count: int, new: int, about, seconds: float, decibels: list[float]) -> str:
    size = target.stat().st_size
    line = f"{count:,} frames  {size:,} bytes  {8 * size / (count * about.height * about.width):.4f} bpp"
    if decibels:
        line += f"  {np.mean(decibels):.2f} dB" + (f" (the last {new} frames)" if new < count else "")
    line += f"  {new / max(seconds, 1e-9):.2f} frames/s"
    if new < count:
        line += f"  (went on after {count - new} frames)"
    return line + "".join(f"; {remark}" for remark in about.remarks)


def _psnr(frames: np.ndarray, decoded: np.ndarray) -> list[float]:
    from components.evaluation import rate_distortion

    return [rate_distortion.psnr_db(a, b) for a, b in zip(frames, decoded, strict=True)]


def groups_of(frames: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Groups of frames, uint8 [T, H, W, 3] with T of `count` or what is left.

    Raises:
      Broken: behind the last group that could be read.
    """
    group: list[np.ndarray] = []
    broken = None
    while broken is None:
        try:
            frame = next(frames, None)
        except Broken as error:
            frame, broken = None, error
        if frame is not None:
            group.append(frame)
        if group and (len(group) == count or frame is None):
            yield np.stack(group)
            group = []
        if frame is None:
            break
    if broken:
        raise broken
