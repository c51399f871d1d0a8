"""Rate and distortion of pushed codecs of clips beside x264 and x265, and beside all frames coded by themselves.

    python -m tests.claims.video_rd --clips FOLDER --group 12 --frames 96 --out docs/NAME --model DIR --model DIR ...

writes docs/NAME.jsonl, a line a clip, codec and setting, which are not measured again, and docs/NAME.md, the tables.
Models of one recipe are the points of one curve, a variable-rate model is one of itself. Bits are those of real
streams, which are decoded again. PSNR is over RGB; means are over frames, then over clips.
"""

import collections
import itertools
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.evaluation import rate_distortion  # noqa: E402
from components.evaluation.rate_distortion import CurveError, Point  # noqa: E402
from components.kinds.clips import places  # noqa: E402
from components.serving import served_codec  # noqa: E402
from components.video import classic_video, measured, served_video  # noqa: E402
from models.files import write_text  # noqa: E402
from tests.claims.ledger import Ledger  # noqa: E402

KEYS = ("clip", "codec", "setting", "group", "frames")
QUALITIES = (0, 25, 50, 75, 100)
ALONE = ", frames by themselves"  # behind a recipe's name


def read_clips(folder: pathlib.Path, frames: int, least: int = 2) -> Iterator[measured.Run]:
    """The first frames of each clip below a folder, of those that have at least a few.

    Raises:
      FileNotFoundError: it holds no clip.
    """
    names = sorted(places.below(str(folder), collections.Counter()))
    if not names:
        raise FileNotFoundError(f"{folder}: no clips here")
    for name in names:
        with places.open_clip(folder / name) as clip:
            taken = list(itertools.islice(clip.frames(), frames))
            if len(taken) >= least:
                yield measured.Run(name or folder.name, np.stack(taken), clip.about.rate)


def jobs(models: Sequence[pathlib.Path], group: int) -> Iterator[tuple[str, Any, Any]]:
    """(curve, setting, what measures a list of runs) of everything that is measured."""
    for codec in classic_video.CODECS:
        for setting in codec.settings:
            yield codec.name, setting, lambda runs, c=codec, s=setting: measured.classic(c, runs, group, s)
    for path in models:
        codec, about = served_video.ServedVideo(path), served_codec.describe(served_codec.newest_version(path))
        name, weight = about["recipe"], about["config"].get("lmbda", "")
        for length, curve in ((min(group, codec.group), name), (1, name + ALONE)):
            for quality in QUALITIES if codec.is_variable else (None,):
                setting = f"{codec.fingerprint:08x} {weight} {quality}"
                yield curve, setting, lambda runs, c=codec, n=length, q=quality: measured.learned(c, runs, n, q)


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Curve -> its points, means over the clips, by rising rate."""
    found: dict[str, dict[Any, list[Point]]] = {}
    for row in rows:
        point = Point(row["bpp"], row["psnr_db"], row["ms_ssim"])
        found.setdefault(row["codec"], {}).setdefault(row["setting"], []).append(point)
    means = {name: [rate_distortion.mean(points) for points in of.values()] for name, of in found.items()}
    return {name: sorted(points, key=lambda point: point.bpp) for name, points in means.items()}


def page(rows: Sequence[Mapping[str, Any]], group: int) -> str:
    """Tables as Markdown: rates against each classic codec at equal quality, and all points."""
    of = curves(rows)
    classic = [codec.name for codec in classic_video.CODECS if codec.name in of]
    clips = sorted({(row["clip"], row["frames_there"], row["size"]) for row in rows})
    told = ", ".join(f"{name} ({count} frames of {size})" for name, count, size in clips)
    lines = [f"An intra frame every {group} frames. Clips: {told}.", "",
             f"| BD-rate, PSNR / MS-SSIM | {' | '.join(classic)} |", f"| --- |{' --- |' * len(classic)}"]  # fmt: skip
    for name in of:
        cells = [f"{_change(of[other], of[name], 0)} / {_change(of[other], of[name], 1)}" for other in classic]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| codec | bpp | PSNR, dB | MS-SSIM |", "| --- | --- | --- | --- |"]
    for name, points in of.items():
        lines += [f"| {name} | {p.bpp:.4f} | {p.psnr_db:.2f} | {p.ms_ssim:.4f} |" for p in points]
    return "\n".join(lines) + "\n"


def _change(anchor: Sequence[Point], test: Sequence[Point], structural: int) -> str:
    pairs = (rate_distortion.psnr_pairs, rate_distortion.ms_ssim_pairs)[structural]
    try:
        return f"{rate_distortion.bd_rate(pairs(anchor), pairs(test))[0]:+.1f} %".replace("-", "−")
    except CurveError:
        return "–"


@click.command()
@click.option("--clips", required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--model", "models", multiple=True, type=click.Path(path_type=pathlib.Path))
@click.option("--group", default=12, show_default=True)
@click.option("--frames", default=96, show_default=True, help="Of each clip, at most.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path))
def main(clips, models, group, frames, out):
    """Measures what is not measured yet, and writes the tables."""
    ledger = Ledger(out.with_suffix(".jsonl"), KEYS, measured, classic_video)
    todo = list(jobs(models, group))
    for run in read_clips(clips, frames):
        height, width = run.frames.shape[1:3]
        for curve, setting, measure in todo:
            if (run.name, curve, setting, group, frames) in ledger.done:
                continue
            begin = time.perf_counter()
            result = measure([run])
            point = result.point
            ledger.add(
                {"group": group, "frames": frames}, time.perf_counter() - begin,
                clip=run.name, codec=curve, setting=setting, group=group, frames=frames, frames_there=len(run.frames),
                size=f"{width}x{height}", bpp=point.bpp, psnr_db=point.psnr_db, ms_ssim=point.ms_ssim,
                positions=[round(value, 3) for value in result.positions()],
            )  # fmt: skip
    rows = [row for row in ledger.done.values() if (row["group"], row["frames"]) == (group, frames)]
    write_text(out.with_suffix(".md"), page(rows, group))
    click.echo(page(rows, group))


if __name__ == "__main__":
    main()
