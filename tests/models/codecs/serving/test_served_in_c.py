"""A codec without Python: a C program against the library of TensorFlow's wheel codes and decodes a picture."""

import importlib.util
import io
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.native_model import signatures_at
from tests.models.kinds import photograph, png

SOURCE = pathlib.Path(__file__).with_name("served_in_c.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs the compiled program on a model's signature."""
    assert COMPILER, "a C compiler is among what the project wants"
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    target = tmp_path_factory.mktemp("c") / "served_in_c"
    libraries = [f"-L{folder}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{folder}"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = [COMPILER, SOURCE, "-o", target, *warnings, "-isystem", f"{folder}/include", *libraries]
    subprocess.run(command, check=True)

    def run(directory, signature, source, result):
        (given,), (answer,) = ([spec.tensor for spec in part.values()] for part in signatures_at(directory)[signature])
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [target, directory, given, answer, source, result]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_codes_and_decodes_a_picture(program, trained, tmp_path):
    model = trained("factorized")
    source = png(photograph(50, 67))
    (tmp_path / "p.png").write_bytes(source)
    done = program(model.directory, "compress", tmp_path / "p.png", tmp_path / "p.kmp")
    assert done.returncode == 0, done.stderr
    expected = model.functions["compress"](image_bytes=tf.constant([source]))["bitstream_bytes"].numpy()[0]
    assert (tmp_path / "p.kmp").read_bytes() == expected
    assert program(model.directory, "decompress", tmp_path / "p.kmp", tmp_path / "d.png").returncode == 0
    decoded = model.functions["decompress"](bitstream_bytes=tf.constant([expected]))["image_bytes"].numpy()[0]
    found, wanted = (np.asarray(Image.open(io.BytesIO(d)), int) for d in ((tmp_path / "d.png").read_bytes(), decoded))
    assert found.shape == (50, 67, 3) and abs(found - wanted).max() <= 1


@pytest.mark.slow
def test_damage_is_refused_with_its_line(program, trained, tmp_path):
    (tmp_path / "s.kmp").write_bytes(b"KMP\1 no stream")
    done = program(trained("factorized").directory, "decompress", tmp_path / "s.kmp", tmp_path / "d.png")
    assert done.returncode == 1 and "the stream is truncated or damaged" in done.stderr
    assert not (tmp_path / "d.png").exists()
