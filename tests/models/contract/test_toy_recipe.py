"""A new system is one new file: in a copy of the sources it is listed, trained, pushed and used; no other changes."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from tests.models.kinds import photograph

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOY = '''"""A toy codec: one convolution each way, a factorised prior."""

import functools

import keras

from models.codecs import codec
from models.codecs.inputs import inputs
from models.codecs.serving.latents import FactorizedLatents
from models.codecs.serving.transforms import signatures
from models.entropy.densities.factorized import FactorizedPrior
from models.contract.recipe import Recipe


@keras.saving.register_keras_serializable("kompakt")
class Toy(codec.Codec):
    """Blocks of 16x16 pixels, each transformed by itself."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        block = {"kernel_size": 16, "strides": 16, "padding": "same"}
        self.analysis = keras.Sequential(
            [keras.Input((None, None, 3)), keras.layers.Conv2D(config.latents, **block), keras.layers.Rescaling(50.0)]
        )
        self.synthesis = keras.Sequential(
            [keras.Input((None, None, config.latents)), keras.layers.Rescaling(0.02),
             keras.layers.Conv2DTranspose(3, bias_initializer=keras.initializers.Constant(0.4), **block)]
        )
        self.prior = FactorizedPrior(dtype="float32", name="prior")

    def code(self, y, training):
        y_hat = self.discretize(y, training)
        return y_hat, self.prior(y_hat)


RECIPE = Recipe(
    name="toy",
    shape="codec",
    summary="Toy image codec of one convolution",
    config=codec.CodecConfig,
    presets={"small": {"latents": 16, "start": "random", "crop_size": 64, "batch_size": 2, "learning_rate": 2e-3}},
    build=functools.partial(codec.build, Toy),
    inputs=inputs,
    signatures=functools.partial(signatures, FactorizedLatents),
    evaluation=codec.EVALUATION,
    report=("rate_distortion",),
    batching=False,
)
'''


ONE_AFTER_ANOTHER = """
import json, sys
from pipeline import cli
sys.exit(any(cli.main(arguments) for arguments in json.loads(sys.argv[1])))
"""


@pytest.fixture
def kompakt(tmp_path):
    """Runs commands of a copy of the sources that has one more file, all in one process."""
    for folder in ("models", "components", "pipeline", "tuning"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "codecs" / "toy.py").write_text(TOY)

    def run(*commands: Sequence[str]) -> str:
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(tmp_path), "COLUMNS": "300"}
        command = [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr[-4000:]
        return done.stdout

    return run


def test_one_new_file_is_a_system(kompakt, tmp_path):
    (tmp_path / "pictures").mkdir()
    for n in range(6):
        Image.fromarray(photograph(80, 72 + n, 40 * n)).save(tmp_path / "pictures" / f"{n}.png")
    settings = ("steps=150", "steps_per_epoch=50", "lmbda=0.1")
    printed = kompakt(
        ["list"],
        ["run", "toy", "--data", "pictures", "--out", "out", *(w for s in settings for w in ("--set", s))],
        ["compress", "pictures/3.png", "--model", "out/serving/toy", "--out", "coded"],
        ["decompress", "coded/3.kmp", "--model", "out/serving/toy", "--out", "decoded"],
    )
    assert "toy" in printed and "Toy image codec of one convolution" in printed and "mean_scale_hyperprior" in printed
    picture, decoded = (np.array(Image.open(tmp_path / f / "3.png")).astype(float) for f in ("pictures", "decoded"))
    assert decoded.shape == picture.shape
    assert np.square(decoded - picture).mean() < 0.5 * np.square(picture - picture.mean((0, 1))).mean()
    assert (tmp_path / "coded" / "3.kmp").stat().st_size < picture.size / 4
