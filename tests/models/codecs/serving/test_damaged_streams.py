"""A few hundred damaged streams, in a process of their own: a crash or a hang there is a failure here."""

import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.codecs.serving import server as codec_serving
from models.entropy.coder import container
from tests.claims import damage
from tests.models.kinds import photograph

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["mean_scale_hyperprior", "autoregressive", "conditional_probability"])
def test_every_damaged_stream_is_refused_or_decoded_exactly(name, trained, tmp_path):
    pixels = photograph(70, 90)
    alpha = (np.indices(pixels.shape[:2]).sum(0) % 256).astype(np.uint8)
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "p.png")
    call = [sys.executable, "-m", "tests.claims.damage", "--count", "420", "--picture", str(tmp_path / "p.png")]
    call += ["--model", str(trained(name).directory), "--other", str(trained("factorized").directory)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "421 damaged streams" in done.stdout and "BROKEN" not in done.stdout


def test_the_judge_finds_what_is_wrong():
    class Model(damage.Reader):
        def __init__(self, answer):
            self.answer = answer

        def read(self, stream):
            return self.answer()

    def fail():
        raise OverflowError("too much")

    assert Model(lambda: b"good").judge(b"", b"good") == ("exact", "")
    assert Model(lambda: b"bad").judge(b"", b"good") == ("other picture", "")
    assert Model(fail).judge(b"", b"good") == ("wrong error", "OverflowError: too much")


def test_damages_differ_from_the_stream_and_are_sealed_where_they_say_so():
    rng = np.random.default_rng(0)
    stream = damage.sealed(b"KMP\1" + bytes(8) + rng.bytes(300))
    assert damage.sealed(stream) == stream
    for kind, make in (damage.PLAIN | damage.FORGED).items():
        made = [make(rng, stream) for _ in range(20)]
        assert sum(m != stream for m in made) > 15, kind
        if kind in damage.FORGED:
            assert all(damage.sealed(m) == m for m in made), kind


class TestForgedPlanes:
    """Streams that are whole but for the alpha plane or the flags in them, as only a forger writes them."""

    PIXELS = photograph(20, 30)

    @staticmethod
    def plane(height: int, width: int, format_name: str = "PNG", mode: str = "L", **options) -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, (width, height), 77 if mode == "L" else None).save(buffer, format_name, **options)
        return buffer.getvalue()

    @pytest.fixture(scope="class")
    def reading(self, trained):
        """What the saved model makes of a stream with these flags and this plane, written by the model's own coder."""
        made = trained("factorized")
        server = made.recipe.signatures(made.model, made.config)

        sections, y_hat = server.payload.encode(tf.constant(self.PIXELS), tf.constant(0))

        def read(flags: int, plane: bytes) -> np.ndarray:
            beside = 20, 30, flags
            numbers = codec_serving.numbers_beside(*beside, tf.constant(plane))
            latents = codec_serving.fingerprint(y_hat, numbers)
            stream = container.pack(*beside, latents, server.fingerprint, [*sections, tf.constant(plane)])
            answer = made.functions["decompress"](bitstream_bytes=stream[None])["image_bytes"][0]
            return np.asarray(Image.open(io.BytesIO(answer.numpy())))

        return read

    def test_a_true_plane_comes_back(self, reading):
        plane = tf.io.encode_png(np.arange(600, dtype=np.uint8).reshape(20, 30, 1)).numpy()
        assert np.array_equal(reading(2, plane)[..., 3].ravel(), np.arange(600, dtype=np.uint8))
        assert reading(3, plane).shape == (20, 30, 2) and reading(1, b"").shape == (20, 30)

    @pytest.mark.parametrize("flags, has_plane", [(0, True), (1, True), (2, False), (3, False), (4, True), (255, True)])
    def test_flags_that_mean_nothing_are_refused(self, reading, flags, has_plane):
        with pytest.raises(tf.errors.InvalidArgumentError, match="its flags mean nothing here"):
            reading(flags, self.plane(20, 30) if has_plane else b"")

    @pytest.mark.parametrize("height, width", [(20, 31), (21, 30), (30, 20), (1, 1)])
    def test_a_plane_of_another_size_is_refused(self, reading, height, width):
        with pytest.raises(tf.errors.InvalidArgumentError, match="alpha plane is not of the picture.*s size"):
            reading(2, self.plane(height, width))

    def test_what_is_no_grey_png_is_refused(self, reading):
        honest = self.plane(20, 30)
        others = [self.plane(20, 30, name) for name in ("JPEG", "BMP", "GIF")] + [self.plane(20, 30, mode="RGB")]
        others += [self.plane(20, 30, mode="I;16"), b"x", honest[:24], b"\xff\xd8\xff" + honest[3:]]
        for plane in others:
            with pytest.raises(tf.errors.InvalidArgumentError, match="alpha plane is no PNG"):
                reading(2, plane)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid PNG"):
            reading(2, honest[:-14])

    def test_a_huge_jpeg_in_place_of_the_plane_takes_no_memory(self, reading):
        huge = self.plane(20_000, 20_000, "JPEG", optimize=True, quality=30)  # 400 MB when decoded
        claims = [huge, huge[:2] + b"\xff\xfe\0\x18" + bytes(10) + struct.pack(">II", 30, 20) + bytes(4) + huge[2:]]
        memory = damage.Memory()
        for plane in claims:  # the second holds the picture's own sides where a PNG would
            memory.restart()
            before = memory.now()
            with pytest.raises(tf.errors.InvalidArgumentError, match="alpha plane is no PNG"):
                reading(2, plane)
            assert memory.peak() - before < 100 << 20
