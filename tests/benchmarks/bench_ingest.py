"""Peak memory of the ingest, of a set and of one ten times as large: the whole process, TensorFlow and Beam included.

    python -m tests.benchmarks.bench_ingest [--count 200] [--times 10] [--kind pictures --kind recordings ...]
    python -m tests.benchmarks.bench_ingest --workers 1 --workers 2 --count 2000 --times 1 --kind pictures [--portable]

Every set is ingested in a fresh process, which scans it and runs the pipeline's first step without its orchestration,
on Beam's in-process runner; with `--workers` on its runner of several processes, whose own memory is told besides (the
largest one's), or with `--portable` on a job service and a pool of workers that were started before. The sets are made
here: `pictures` are PNGs of noise of 256x256 pixels (0.2 MB each) in class folders; `recordings` are matrices of 60 s
with headers and a table of labels, `archive` the same in a tar; `tfds` is a data set of two splits that is prepared
before, of such pictures; `packed` a packed file of 64x64 pixels each; `clips` one film of 1920x1080 pixels, of whose
frames there are so many, in H.264.
"""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tarfile
import tempfile
import time

import click
import numpy as np
import tensorflow_datasets as tfds

from tests.components.portable_beam import engine

BEAM_ARGS = ["--sdk_container_image=none"]
IN_MEMORY = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
DATASETS = {"pictures": "class_folders", "recordings": "cinc2017", "archive": "cinc2017", "tfds": "noise_pictures",
            "packed": "packed", "clips": "clips"}  # fmt: skip


def _noise(seed: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def make_pictures(place: pathlib.Path, count: int) -> pathlib.Path:
    """Class folders."""
    from PIL import Image

    for n in range(count):
        folder = place / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_noise(n, 256)).save(folder / f"{n:06d}.png", compress_level=1)
    return place


def make_recordings(place: pathlib.Path, count: int) -> pathlib.Path:
    """A folder as the challenge has it."""
    from tests.components.recordings_on_disk import steps, write_pair

    for n in range(count):
        write_pair(place, f"A{n:05d}", steps(60, n))
    (place / "REFERENCE.csv").write_text("".join(f"A{n:05d},{'NAO~'[n % 4]}\n" for n in range(count)))
    return place


def make_archive(place: pathlib.Path, count: int) -> pathlib.Path:
    """The same as one archive."""
    folder, archive = make_recordings(place / "folder", count), place / "all.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "all")
    return archive


def make_packed(place: pathlib.Path, count: int) -> pathlib.Path:
    """A packed file, half of it as differences."""
    place.mkdir(parents=True)
    pictures = np.stack([_noise(n, 64) for n in range(count)])
    green = pictures[: count // 5].copy()
    green[..., ::2] -= green[..., 1:2]
    diff = np.diff(np.diff(green.transpose(3, 0, 1, 2), axis=2, prepend=0), axis=3, prepend=0).astype("u1")
    labels = np.arange(count) % 2
    arrays = {"train_image": pictures[count // 5 :], "train_label": labels[count // 5 :], "test_diff": diff,
              "test_label": labels[: count // 5], "names": np.array(["a", "b"])}  # fmt: skip
    np.savez_compressed(place / "set.npz", **arrays)
    return place / "set.npz"


class NoisePictures(tfds.core.GeneratorBasedBuilder):
    """A data set of two splits of noise, `count` pictures in all."""

    VERSION = tfds.core.Version("1.0.0")
    count = 0

    def _info(self):
        image, label = tfds.features.Image(shape=(256, 256, 3)), tfds.features.ClassLabel(num_classes=2)
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({"image": image, "label": label})
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        border = self.count * 4 // 5
        return {"train": self._generate_examples(0, border), "test": self._generate_examples(border, self.count)}

    def _generate_examples(self, first, last):
        for n in range(first, last):
            yield n, {"image": _noise(n, 256), "label": n % 2}


def make_clips(place: pathlib.Path, count: int) -> pathlib.Path:
    """A folder with one film, and two clips of two small frames for the other splits."""
    import itertools

    import av

    place.mkdir(parents=True)
    wall = np.kron(_noise(0, 120), np.ones((18, 18, 1), np.uint8))
    for name, frames, height, width in (("film", count, 1080, 1920), ("a", 2, 64, 64), ("b", 2, 96, 64)):
        with av.open(str(place / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "30"})
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for number, shift in zip(range(frames), itertools.cycle(range(100)), strict=False):
                pixels = np.ascontiguousarray(wall[shift : shift + height, shift : shift + width])
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return place


def make_tfds(place: pathlib.Path, count: int) -> pathlib.Path:
    """A prepared data set; it is made here too, so that what TFDS takes to prepare it is not in the figure."""
    NoisePictures.count = count
    NoisePictures(data_dir=place).download_and_prepare()
    return place


def peak() -> int:
    """Most memory that this process has held, MiB."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def runner(workers: int) -> list[str]:
    """Beam's arguments for so many processes that it starts; 0: in this one."""
    several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return BEAM_ARGS + (several if workers else IN_MEMORY)


def one(kind: str, place: str, out: str, args: list[str]) -> None:
    """Ingests one set with these arguments of Beam and prints what it took, as JSON."""
    import apache_beam as beam
    from tfx.types import standard_artifacts

    from components.ingest import example_gen, sources

    folder = "" if kind == "tfds" else place
    begin = time.perf_counter()
    digest = sources.dataset_digest(DATASETS[kind], folder)
    examples = standard_artifacts.Examples()
    examples.uri = out
    context = example_gen.Executor.Context(make_beam_pipeline_fn=lambda: beam.Pipeline(argv=args), tmp_dir=out)
    properties = {"dataset": DATASETS[kind], "folder": folder, "digest": digest, "max_unreadable": 0.0}
    example_gen.Executor(context).Do({}, {"examples": [examples]}, properties)
    report = json.loads((pathlib.Path(out) / example_gen.REPORT_FILE).read_text())
    size = sum(split["bytes"] for split in report["splits"].values())
    seconds, worker = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(json.dumps({"peak": peak(), "worker": worker, "bytes": size, "seconds": seconds}))


def measured(kind: str, count: int, workers: int = 0, portable: bool = False) -> dict:
    """Makes a set of so many examples and ingests it in a process of its own."""
    with contextlib.ExitStack() as stack:
        root = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        args = stack.enter_context(engine(root / "engine", workers)).args if portable else runner(workers)
        place = globals()[f"make_{kind}"](root / "in", count)
        environment = os.environ | {"TFDS_DATA_DIR": str(root / "in"), "KOMPAKT_CACHE": str(root / "cache")}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        call = f"from tests.benchmarks.bench_ingest import one; one(*{[kind, str(place), str(root / 'out'), args]!r})"
        command = [sys.executable, "-c", call]  # a module that is run cannot be sent to Beam's workers
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        return json.loads(done.stdout.strip().splitlines()[-1])


@click.command()
@click.option("--count", default=200, show_default=True, help="Examples of the smaller set.")
@click.option("--times", default=10, show_default=True, help="How many times as large the other is.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(DATASETS)), help="Repeatable; all without.")
@click.option("--workers", multiple=True, type=click.IntRange(1), help="Processes of Beam; repeatable.")
@click.option("--portable", is_flag=True, help="These as a pool's of a job service, by Beam's portable runner.")
def main(count, times, kinds, workers, portable) -> None:
    """Prints a table: MB of input, peak memory in MiB and seconds, of both sets; or by workers, of the larger."""
    if portable and not workers:
        raise click.UsageError("--portable goes with --workers")
    if workers:
        print("| input | examples | workers | seconds | examples/s | peak MiB | of a worker |\n" + "| --- " * 7 + "|")
        for kind in kinds or DATASETS:
            for number in workers:
                found = measured(kind, count * times, number, portable)
                rate = count * times / found["seconds"]
                row = [
                    kind,
                    count * times,
                    number,
                    f"{found['seconds']:.0f}",
                    f"{rate:.0f}",
                    found["peak"],
                    "-" if portable else found["worker"],
                ]
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
        return
    print("| input | MB | peak MiB | MB | peak MiB | grows by | seconds |\n" + "| --- " * 7 + "|")
    for kind in kinds or DATASETS:
        small, large = measured(kind, count), measured(kind, count * times)
        row = [kind, *(f"{v:,.0f}" for run in (small, large) for v in (run["bytes"] / 1e6, run["peak"]))]
        row += [f"{large['peak'] / small['peak'] - 1:+.0%}", f"{small['seconds']:.0f}, {large['seconds']:.0f}"]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
