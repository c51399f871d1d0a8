"""The training of released weights on JAX: its crops, going on after a stop, and that TensorFlow reads the result."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from models.publishing import released
from tests.models.kinds import photograph

pytestmark = pytest.mark.slow

SETTINGS = {"channels": 8, "latents": 12, "crop_size": 64, "batch_size": 2, "steps_per_epoch": 4, "rates": 2}
# In a process of its own: Keras has one backend a process.
SCRIPT = """
import pathlib, sys
import numpy as np
from tests.claims.train_on_jax import crops, main, read

pictures, out = map(pathlib.Path, sys.argv[1:3])
arguments = ["--pictures", str(pictures), "--validation", str(pictures), "--out", str(out), *sys.argv[3:]]
main([*arguments, "--minutes", "0.001"])
seconds = float(np.load(out / "state.npz")["seconds"])
main([*arguments, "--minutes", str((seconds + 1) / 60)])

damaged = pictures.with_name("damaged")
damaged.mkdir()
(damaged / "half.png").write_bytes((pictures / "0.png").read_bytes()[:200])
for wrong in ("--set channels=9", f"--pictures {damaged}", "--pictures nowhere", "--set precision=auto",
              "--scale 0"):
    try:
        main([*arguments, *wrong.split()])
    except SystemExit as stop:
        assert stop.code == 1

places = np.array([[0.0, 0.999], [0.5, 0.0]], np.float32)
found = crops(read(pictures, 64), np.array([0, 1]), places, np.array([False, True]), 64)
np.save(out / "crops.npy", found)
np.save(out / "sizes.npy", read(pictures, 32, (1.0, 0.5))["sizes"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures, one of them smaller than a crop, and in `out` what training left: begun, then gone on with."""
    folder = tmp_path_factory.mktemp("jax")
    (folder / "pictures").mkdir()
    for n, (height, width) in enumerate(((80, 64), (70, 90), (30, 200))):
        Image.fromarray(photograph(height, width, 40 * n)).save(folder / "pictures" / f"{n}.png")
    settings = [word for k, v in SETTINGS.items() for word in ("--set", f"{k}={v}")]
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder / "pictures"), str(folder / "out"), *settings]
    done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "messages").write_text(done.stderr)
    return folder


def test_goes_on_where_it_was(folder):
    rows = [json.loads(line) for line in (folder / "out" / "history.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 4 and rows[1]["step"] >= 8 and rows[1]["seconds"] > rows[0]["seconds"]
    assert all(np.isfinite([row["loss"], row["val_loss"]]).all() for row in rows)
    assert not list((folder / "out").glob("*partial*"))


def test_what_cannot_be_is_said_in_a_line(folder):
    said = (folder / "messages").read_text()
    for message in ("the state of another model; take another --out", "half.png: cannot be read as a picture",
                    "nowhere: no picture of 64x64 pixels or more", "wants a codec", "--scale: must be"):  # fmt: skip
        assert message in said
    assert "Traceback" not in said


def test_crops_are_pieces_of_the_pictures(folder):
    found = np.load(folder / "out" / "crops.npy")
    np.testing.assert_allclose(255 * found[0], photograph(80, 64)[0:64, 0:64], atol=1e-3)
    np.testing.assert_allclose(255 * found[1], photograph(70, 90, 40)[3:67, 0:64][:, ::-1], atol=1e-3)


def test_pictures_are_taken_at_every_scale(folder):
    """At half their sizes the first two still hold a crop; the third holds none, whole or halved."""
    assert np.load(folder / "out" / "sizes.npy").tolist() == [[80, 64], [40, 32], [70, 90], [35, 45]]


def test_the_weights_are_released_ones(folder):
    recipe, config, model = released.unpack(folder / "out" / "edic.npz")
    assert recipe.name == "edic" and {k: getattr(config, k) for k in SETTINGS} == SETTINGS
    with np.load(folder / "out" / "state.npz") as file:
        trained = [file[k] for k in file.files if k.startswith("0 ")]
    for ours, theirs in zip(model.trainable_variables, trained, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
