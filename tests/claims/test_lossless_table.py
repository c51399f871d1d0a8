"""The table of lossless codecs: what a picture is measured by, and how lines become means."""

import json
import pathlib

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.claims import lossless_table
from tests.models.examples import photograph

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_real_bytes_are_counted_and_pictures_compared():
    pixels = photograph(20, 30)
    encode, decode = lossless_table.coders_of([], None)["PNG"]
    found = lossless_table.measure(pixels, encode, decode)
    assert found["bytes"] == len(encode(pixels)) and found["bpsp"] == 8 * found["bytes"] / pixels.size
    with pytest.raises(click.ClickException, match="another picture"):
        lossless_table.measure(pixels, encode, lambda stream: decode(stream) ^ 1)


def test_it_goes_on_where_it_was(tmp_path):
    Image.fromarray(photograph(16, 16)).save(tmp_path / "a.png")
    arguments = ["--out", str(tmp_path / "rates.jsonl"), "--set", f"own={tmp_path}"]
    first = CliRunner().invoke(lossless_table.main, arguments)
    assert first.exit_code == 0 and "| WebP |" in first.output
    lines = (tmp_path / "rates.jsonl").read_text()
    again = CliRunner().invoke(lossless_table.main, arguments)
    assert again.exit_code == 0 and (tmp_path / "rates.jsonl").read_text() == lines


def test_means_are_of_a_set_each():
    rows = [
        {"set": s, "codec": "c", "bpsp": b, "encode_seconds": 1.0, "decode_seconds": 2.0}
        for s, b in (("x", 2.0), ("x", 4.0), ("y", 1.0))
    ]
    assert lossless_table.table(rows).splitlines()[-1] == "| c | 3.000 | 1.000 | 1.00 | 2.00 |"
    assert not np.isnan(rows[0]["bpsp"])


def test_the_page_shows_what_the_lines_give():
    """Of JPEG XL those of the encoder that makes it smaller."""
    found = {}
    for name in ("lossless_rates", "lossless_jpeg_xl"):
        for row in map(json.loads, (DOCS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()):
            found.setdefault(row["codec"], {}).setdefault(row["set"], {})[row["picture"]] = row["bpsp"]
    page = (DOCS / "lossless.md").read_text(encoding="utf-8").splitlines()
    for codec, sets in found.items():
        means = [f"{np.mean(list(sets[name].values())):.3f}" for name in ("kodak", "cid22", "clic")]
        assert f"| {codec} | {' | '.join(means)} |" in page
    assert len(found) == 7
