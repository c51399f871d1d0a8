"""Ingest of recordings beside a plain loop of `wfdb.rdsamp` over the same files.

    python -m tests.benchmarks.bench_ecg [--data DIR] [--count 2000] [--runs 3]

The ingest is the pipeline's first step without its orchestration: Beam's in-process runner reads, checks, classifies by
noise and writes GZIP TFRecords; its scan for digests and labels is timed apart. The loop only decodes. Without --data
the files are the simulated sample, written out as the challenge writes its recordings. In turns, in one process.
"""

import json
import pathlib
import shutil
import tempfile
import time

import apache_beam as beam
import click
import numpy as np
import wfdb
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.ingest import example_gen, sources
from components.kinds.recordings.datasets.ecg_sample import ecg_sample_dataset_builder as sample
from components.kinds.recordings.places import scan
from tests.components.recordings_on_disk import write_pair

BEAM_ARGS = list(LOCAL_BEAM)


def write_sample(folder: pathlib.Path, count: int) -> None:
    """Writes `count` simulated recordings with headers and labels; every signal is simulated once and then shifted."""
    signals = [(label, sample.simulate(label, np.random.default_rng([9, n]))) for n, label in enumerate("NAO~" * 5)]
    lines = []
    for n in range(count):
        label, signal = signals[n % len(signals)]
        write_pair(folder, f"S{n:05d}", np.rint(1000 * np.roll(signal, n)).astype(np.int16))
        lines.append(f"S{n:05d},{label}")
    (folder / "REFERENCE-v3.csv").write_text("\n".join(lines))


def take(place: pathlib.Path, folder: pathlib.Path, count: int) -> None:
    """Copies the first `count` records of a folder, which must have headers, and labels all of them."""
    headers = sorted(place.rglob("*.hea"))[:count]
    if not headers:
        raise click.UsageError(f"no header (.hea) in {place}")
    for header in headers:
        for path in header.parent.glob(header.stem + ".*"):
            shutil.copy(path, folder)
    (folder / "REFERENCE-v3.csv").write_text("\n".join(f"{header.stem},N" for header in headers))


def ingest(folder: pathlib.Path, out: pathlib.Path) -> tuple[float, float]:
    """Seconds of the scan and of the step, which scans again; both as the pipeline runs them."""
    begin = time.perf_counter()
    digest = sources.dataset_digest("cinc2017", str(folder), labelled=True)
    scanned = time.perf_counter()
    examples = standard_artifacts.Examples()
    examples.uri = str(out)
    context = example_gen.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=BEAM_ARGS), tmp_dir=str(out)
    )
    properties = {"dataset": "cinc2017", "folder": str(folder), "digest": digest, "max_unreadable": 0.0}
    example_gen.Executor(context).Do({}, {"examples": [examples]}, properties)
    return scanned - begin, time.perf_counter() - scanned


def decode(folder: pathlib.Path) -> float:
    """Seconds of the plain loop."""
    begin = time.perf_counter()
    for header in sorted(folder.glob("*.hea")):
        signal, _ = wfdb.rdsamp(str(header.with_suffix("")))
        assert len(signal)
    return time.perf_counter() - begin


@click.command()
@click.option("--data", type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False), help="WFDB records.")
@click.option("--count", default=2000, show_default=True, help="How many recordings.")
@click.option("--runs", default=3, show_default=True, help="Medians are over so many.")
def main(data, count, runs) -> None:
    """Prints recordings and megabytes a second, and the ratio of both ways."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "recordings"
        folder.mkdir()
        take(data, folder, count) if data else write_sample(folder, count)
        records = scan(str(folder)).records
        size = sum(record.size_bytes for record in records)
        times = []
        for run in range(runs + 1):
            out = pathlib.Path(temporary) / f"out{run}"
            times.append((*ingest(folder, out), decode(folder)))
            report = json.loads((out / example_gen.REPORT_FILE).read_text())
            assert sum(split["recordings"] for split in report["splits"].values()) == len(records)
        scans, steps, loops = np.median(times[1:], axis=0)  # The first warms caches up.
    kind = "recordings" if data else "simulated recordings"
    print(f"{len(records)} {kind}, {size / 1e6:.1f} MB of signal; medians of {runs} runs, one process")
    for name, seconds in (("scan for digests", scans), ("ingest step", steps), ("wfdb.rdsamp loop", loops)):
        print(f"{name:18}{seconds:8.2f} s{len(records) / seconds:10.0f} recordings/s{size / seconds / 1e6:8.1f} MB/s")
    print(f"the ingest step takes {steps / loops:.1f} times as long as the loop")


if __name__ == "__main__":
    main()
