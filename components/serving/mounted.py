"""Released models as folders of versions with warm-up requests, which servers can mount as they mount pushed ones."""

import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from components.serving import check, released_model
from components.serving.served_codec import record_of
from models.contract import registry
from models.files import replacing
from models.publishing import pushed, released
from models.records import ecg_units
from models.records import recordings as ecg_records

_NOTE = "assets.extra/released.txt"  # which served form a version is a copy of
_SIDE = 512  # pixels of the picture of the warm-up
_SECONDS = 30  # of its recording


def mount(name: str, folder: pathlib.Path, announce=lambda text: None) -> pathlib.Path:
    """Makes the newest version of a folder the released model of that name, warm-up requests beside it.

    Nothing is copied if it is so already. Versions are seconds since 1970, or one more than the newest.

    Args:
      name: one of `released.names()`. folder: of versions; made if missing.
      announce: called with a line for the user before what takes long.

    Returns:
      The folder of the version.

    Raises:
      ReleaseError: no such weights, the file is damaged, or the cache cannot be written.
      ServingError: the model cannot be served.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made_of = released_model.folder_of(name).name
    newest = pushed.newest(folder)
    if newest != folder and _note(newest) == made_of:
        return newest
    source = released_model.directory_of(name, announce)
    recipe = registry.get(released.describe(released.path_of(name))["recipe"])
    announce(f"calling the signatures of '{name}' for its warm-up requests ...")
    with tempfile.TemporaryDirectory() as work:
        records = pathlib.Path(work, "record.gz")
        with tf.io.TFRecordWriter(str(records), "GZIP") as writer:
            writer.write(_recording() if recipe.data == "recordings" else record_of(_picture()))
        (place := pathlib.Path(work, "probe")).mkdir()
        requests = check.probe(str(source), check.inputs_of([str(records)]), place)
    target = folder / str(pushed.next_version(int(p.name) for p in folder.iterdir() if p.name.isdecimal()))
    with replacing(target) as part:
        shutil.copytree(source, part)
        check.write_warmup(requests, str(part))
        (part / _NOTE).write_text(made_of, encoding="utf-8")
    return target


def _note(version: pathlib.Path) -> str:
    try:
        return (version / _NOTE).read_text(encoding="utf-8")
    except OSError:
        return ""


def _picture() -> np.ndarray:
    """Slopes, edges and noise, uint8 [SIDE, SIDE, 3]."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    noise = np.random.default_rng(0).integers(0, 16, [_SIDE, _SIDE, 3])
    slopes = np.stack([x // 4, y // 4, 100 * ((x // 64 + y // 64) % 2)], axis=-1)
    return (slopes + noise).astype(np.uint8)


def _recording() -> bytes:
    """The record of a pulse of 75 beats a minute."""
    t = np.arange(_SECONDS * ecg_units.RATE) / ecg_units.RATE
    signal = np.exp(-(((t * 1.25) % 1 - 0.5) ** 2) / 0.001).astype(np.float32)
    return ecg_records.recording_example(
        signal, key="warm-up", format_name="simulated", original_rate=ecg_units.RATE, size_bytes=2 * len(signal),
        noise_class="clean", label_name="",
    ).SerializeToString()  # fmt: skip
