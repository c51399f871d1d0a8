"""Picture files through the C library: the very pixels of `models.records.pictures.decode`."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.kinds.pictures import picture_decoder
from components.native_model import LibraryMissing
from models.records import pictures as picture_records
from tests.models.kinds import photograph


def encoded(picture: np.ndarray, format_name: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format_name, **options)
    return file.getvalue()


PICTURE = photograph(37, 53)
FILES = {
    "png": encoded(PICTURE, "PNG"),
    "grey": encoded(PICTURE[..., 0], "PNG"),
    "alpha": encoded(np.dstack([PICTURE, PICTURE[..., :1]]), "PNG"),
    "jpeg": encoded(PICTURE, "JPEG", quality=60),
    "grey jpeg": encoded(PICTURE[..., 0], "JPEG"),
    "bmp": encoded(PICTURE, "BMP"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_pixels(name):
    expected = picture_records.decode(tf.constant(FILES[name]), channels=0).numpy()
    found = picture_decoder.decode(FILES[name])
    assert found.dtype == np.uint8 and np.array_equal(found, expected)


@pytest.mark.parametrize("content", [b"", b"no picture", FILES["png"][:300], FILES["jpeg"][:400]])
def test_what_tensorflow_refuses(content, monkeypatch):
    with pytest.raises(ValueError):
        picture_decoder.decode(content)
    monkeypatch.setattr(picture_decoder, "_native", missing)
    with pytest.raises(ValueError):
        picture_decoder.decode(content)


def missing():
    raise LibraryMissing("not here")


def test_where_the_library_is_missing_python_decodes(monkeypatch):
    expected = picture_decoder.decode(FILES["jpeg"])
    monkeypatch.setattr(picture_decoder, "_native", missing)
    assert np.array_equal(picture_decoder.decode(FILES["jpeg"]), expected)


def test_tensorflow_is_not_imported(tmp_path):
    (tmp_path / "p.png").write_bytes(FILES["png"])
    code = (
        "import sys; from components.kinds.pictures.picture_decoder import decode;"
        "print(decode(open(sys.argv[1], 'rb').read()).shape); sys.exit('tensorflow' in sys.modules)"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code, str(tmp_path / "p.png")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(37, 53, 3)\n"), done.stderr
