"""Tiles written over what they are computed from: the results of two buffers, in the memory of one."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving import canvas
from models.codecs.serving.picture_files import in_tiles
from models.entropy.in_place import overwrite


def mebibytes(field: str) -> int:
    return int(pathlib.Path("/proc/self/status").read_text(encoding="utf-8").split(f"{field}:")[1].split()[0]) >> 10


def neighbours(values):
    """Sums over 3x3 of [1, h, w, C]; of integers exact, in whichever order."""
    height, width = values.shape[1:3]
    padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.add_n([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)])


def grids(height: int, width: int, latents: int) -> tuple[canvas.Grid, canvas.Grid]:
    sides = [tf.constant(-(-side // 16)) for side in (height, width)]
    pixels = canvas.Grid(tf.constant(height), tf.constant(width), 3, tf.uint8, 16)
    return pixels, canvas.Grid(*sides, latents, tf.float32, 1)


SIZES = [(1, 1), (16, 16), (15, 130), (130, 15), (97, 65), (160, 33), (129, 177)]


@pytest.mark.parametrize("latents", [1, 40, 190, 192, 400])  # their rows take less, about as much and more than pixels'
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_over_latents(height, width, latents):
    def draw(tile):
        sums = tf.repeat(tf.repeat(neighbours(tile), 16, 1), 16, 2)
        sums += tf.cast(tf.range(tf.shape(sums)[2])[:, None] % 16, tf.float32)
        return tf.cast(sums[..., :1] % 251 + tf.constant([0.0, 1, 2]), tf.uint8)

    pixels, source = grids(height, width, latents)
    y = np.random.default_rng(1).integers(0, 99, (source.rows, source.columns, latents)).astype(np.float32)
    plan = canvas.plan(source, pixels, source.rows, 2, 1)
    buffer = tf.pad(np.frombuffer(y.tobytes(), np.uint8), [[plan.before, plan.behind]])
    found = canvas.fill(draw, buffer, plan, source.rows, source.columns, 2, 1)
    whole = draw(tf.constant(y)[None])[0, :height, :width]
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("latents", [1, 40, 190, 192, 400])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_latents_over_pixels(height, width, latents):
    def analyse(tile):
        missing = [[0, 0], *([0, -side % 16] for side in tile.shape[1:3]), [0, 0]]
        means = tf.nn.avg_pool2d(tf.pad(tf.cast(tile, tf.float32), missing), 16, 16, "VALID")
        return neighbours(means)[..., :1] + tf.range(latents, dtype=tf.float32)

    source, target = grids(height, width, latents)
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    plan = canvas.plan(source, target, target.rows, 2, 1)
    buffer = tf.pad(picture.ravel(), [[plan.before, plan.behind]])
    found = canvas.fill(analyse, buffer, plan, target.rows, target.columns, 2, 1)
    tiles = in_tiles(
        analyse, tf.constant(picture), target.rows, target.columns, scale_in=16, scale_out=1, tile=2, halo=1,
        channels=latents, dtype=tf.float32,
    )  # fmt: skip
    assert np.array_equal(found, tiles)
    np.testing.assert_allclose(tiles, analyse(tf.constant(picture)[None])[0], rtol=1e-5)


@pytest.mark.parametrize("size", [(10000, 10000), (8333, 12001), (65535, 2048), (2048, 65535), (700, 700)])
def test_a_canvas_is_as_large_as_the_larger_of_both(size):
    pixels, latents = grids(*size, 176)
    for source, target in ((pixels, latents), (latents, pixels)):
        plan = canvas.plan(source, target, latents.rows, 48, 4)
        larger = max(int(source.rows * source.row), int(target.rows * target.row))
        assert larger <= int(plan.end + plan.behind) < larger + int(target.row)
        assert int(plan.end + plan.behind) < 2**31


def test_a_loop_that_overwrites_holds_its_buffer_once():
    """2 GB would be copied and 256 MiB more held if every turn made a new tensor."""
    size, part = 1 << 26, 1 << 20

    @tf.function(autograph=False)
    def loop(size):
        def body(place, whole):
            values = whole[place : place + part] + tf.cast(tf.range(place, place + part), tf.float32)
            return place + part, overwrite(whole, [place], values)

        loop = (0, tf.zeros(size[None]))
        return tf.reduce_max(tf.while_loop(lambda place, _: place < size, body, loop, parallel_iterations=1)[1])

    loop(tf.constant(part))
    before = mebibytes("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    assert loop(tf.constant(size)).numpy() == size  # rounded, of which one less
    assert mebibytes("VmHWM") - before < 256 + 128
