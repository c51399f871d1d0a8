"""L3C: its options, its bits, and that what is served gives every pixel back, whatever the picture."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.codecs.serving import stored
from models.contract import registry
from models.contract.recipe import ConfigError
from models.lossless import serving
from tests.models.kinds import photograph, picture_record, png

TINY = {"channels": 4, "blocks": 1, "latents": 3, "components": 2, "crop_size": 16, "store": False}


def built(**options):
    recipe = registry.get("l3c")
    config = recipe.make_config("small", TINY | options)
    return recipe.build(config), config


def crops(count: int, side: int) -> np.ndarray:
    return np.stack([photograph(side, side, 30 * n) for n in range(count)]).astype(np.float32) / 255


@pytest.mark.parametrize("representation", ["learned", "rgb", "rgb_shared"])
def test_bits_by_scale(representation):
    """They sum to the whole, and those of the coarsest scale are uniform."""
    model, _ = built(representation=representation)
    coded = model(crops(2, 32))
    scales = np.asarray(coded["scales"])
    np.testing.assert_allclose(scales.sum(1), coded["bits"], rtol=1e-6)
    symbols = 4 * 4 * 3
    np.testing.assert_allclose(scales[:, -1], symbols * np.log2(25 if representation == "learned" else 256), rtol=1e-6)
    assert (scales > 0).all()


@pytest.mark.slow
def test_one_predictor_is_shared_and_the_learned_scales_are_integers():
    assert len(built(representation="rgb_shared")[0].decoders) == 1
    model, config = built()
    assert len(model.decoders) == 3
    for values in model.scales(255 * crops(1, 32)):
        values = np.asarray(values)
        assert np.array_equal(values, np.round(values)) and values.min() >= 0 and values.max() < config.levels


@pytest.mark.parametrize(("subpixel", "outputs"), [(True, 2 * (9 + 3)), (False, 2 * 9)])
def test_subpixel_terms_are_an_option(subpixel, outputs):
    assert built(subpixel=subpixel)[0].decoders[0].parameters.outputs == outputs


def test_crops_have_whole_strides():
    with pytest.raises(ConfigError, match="multiple of 8"):
        built(crop_size=20)


@pytest.mark.slow
@pytest.mark.parametrize("representation", ["rgb", "rgb_shared"])
def test_the_baselines_code_tiles_exactly(representation):
    model, config = built(representation=representation)
    payload = serving.HierarchyPayload(model, config)
    for pixels in (photograph(10, 13), np.repeat(photograph(9, 4)[:, :, :1], 3, axis=2)):
        string = payload.encode_tile(tf.constant(pixels))
        np.testing.assert_array_equal(payload.decode_tile(string, *pixels.shape[:2]), pixels)


@pytest.mark.slow
def test_a_picture_of_many_tiles(monkeypatch):
    monkeypatch.setattr(serving, "TILE", 2)
    payload = serving.HierarchyPayload(*built())
    for pixels in (photograph(37, 50), photograph(16, 1), photograph(1, 17)):
        (section,), values = payload.encode(tf.constant(pixels), 0)
        np.testing.assert_array_equal(values, pixels)
        np.testing.assert_array_equal(payload.decode([section], *pixels.shape[:2])[0], pixels)


def files() -> dict[str, bytes]:
    """Pictures of every kind."""
    rng, picture = np.random.default_rng(0), photograph(40, 56)
    palette = io.BytesIO()
    Image.fromarray(picture).quantize(40).save(palette, "PNG")
    return {
        "1x1": png(picture[:1, :1]),
        "odd": png(picture[:7, :13]),
        "row": png(picture[:1]),
        "column": png(picture[:, :1]),
        "grey": png(picture[..., 0]),
        "alpha": png(np.dstack([picture, picture[..., 1]])),
        "grey with alpha": png(picture[..., :2]),
        "palette": palette.getvalue(),
        "noise": png(rng.integers(0, 256, (24, 24, 3), np.uint8)),
        "black": png(np.zeros((30, 9, 3), np.uint8)),
        "white": png(np.full((8, 8, 3), 255, np.uint8)),
        "16 bits": png((rng.integers(0, 65536, (12, 9))).astype(np.uint16)),
    }


def pixels_of(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB") if image.mode == "P" else image)


@pytest.mark.slow
def test_every_value_comes_back_from_the_served_model(trained):
    given = files()
    with trained("l3c").served() as served:
        streams = served["compress"](image_bytes=tf.constant(list(given.values())))["bitstream_bytes"]
        decoded = served["decompress"](bitstream_bytes=streams)["image_bytes"].numpy()
    for (name, content), answer in zip(given.items(), decoded, strict=True):
        np.testing.assert_array_equal(pixels_of(answer), pixels_of(content), err_msg=name)
        assert pixels_of(answer).dtype == pixels_of(content).dtype
    sizes = dict(zip(given, map(len, streams.numpy()), strict=True))
    assert sizes["grey"] < 0.6 * len(streams.numpy()[0]) + sizes["palette"]  # one channel of three


@pytest.mark.slow
def test_numbers_are_those_of_the_streams(trained):
    picture = photograph(40, 56)
    with trained("l3c").served() as served:
        (stream,) = served["compress"](image_bytes=tf.constant([png(picture)]))["bitstream_bytes"].numpy()
        numbers = served["serving_default"](examples=tf.constant([picture_record(picture)]))
    numbers = {name: float(values[0, 0]) for name, values in numbers.items()}
    assert numbers["bpsp"] == pytest.approx(8 * len(stream) / picture.size, rel=1e-5)
    by_scale = [numbers[f"estimated_bpsp_{n}"] for n in range(4)]
    assert sum(by_scale) == pytest.approx(numbers["estimated_bpsp"], rel=1e-5)


@pytest.mark.slow
def test_damage_never_gives_another_picture(trained):
    picture = photograph(20, 24)
    rng = np.random.default_rng(1)
    with trained("l3c").served() as served:
        (stream,) = served["compress"](image_bytes=tf.constant([png(picture)]))["bitstream_bytes"].numpy()
        for n in range(40):
            damaged = bytearray(stream)
            damaged[rng.integers(len(stream))] ^= 1 << rng.integers(8)
            damaged = bytes(damaged) if n % 4 else bytes(damaged[: rng.integers(len(stream))])
            with pytest.raises(Exception, match="damaged|Kompakt|another model|version|sizes"):
                served["decompress"](bitstream_bytes=tf.constant([damaged]))


def test_a_smaller_png_is_taken_and_16_bits_always_are():
    code = lambda: tf.constant(b"s" * 300)  # noqa: E731 (a codec's stream)
    flat, deep = png(np.zeros((40, 40, 3), np.uint8)), png(np.zeros((40, 40), np.uint16))
    noise = png(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    for content, smaller, kept in ((flat, True, True), (flat, False, False), (noise, True, False), (deep, False, True)):
        stream = stored.whole(tf.constant(content), code, smaller)
        assert bool(stored.is_stored(stream)) == kept
        if kept:
            np.testing.assert_array_equal(pixels_of(stored.read(stream).numpy()), pixels_of(content))
