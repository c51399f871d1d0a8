"""A few hundred damaged streams, in a process of their own: a crash or a hang there is a failure here."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.claims import damage
from tests.models.kinds import photograph


@pytest.mark.parametrize("name", ["mean_scale_hyperprior", "autoregressive"])
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
