"""What served codecs promise: sizes and formats, tiles, readers on other machines, refusals."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.contract import registry
from models.entropy.coder.rans import RansCoder
from models.entropy.densities import gaussian
from models.entropy.densities.tables import gaussian_tables
from tests.claims import damage, estimate
from tests.models.kinds import KINDS, photograph, png

TOO_LARGE = "a picture may have 134217728 pixels (2^27) at most"
RECIPES = ("factorized", "hyperprior", "mean_scale_hyperprior", "autoregressive")


@pytest.fixture(scope="session")
def served(trained):
    """name -> {"compress": pictures -> streams, "decompress": streams -> PNGs} of the saved model, lists of bytes."""
    loaded = {}

    def caller(signature, source, answer):
        return lambda values: signature(**{source: tf.constant(values)})[answer].numpy().tolist()

    def of(name: str):
        if name not in loaded:
            signatures = trained(name).functions
            loaded[name] = {
                "compress": caller(signatures["compress"], "image_bytes", "bitstream_bytes"),
                "decompress": caller(signatures["decompress"], "bitstream_bytes", "image_bytes"),
            }
        return loaded[name]

    return of


def encoded(picture: Image.Image, format_name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


class TestPictures:
    """Every size and kind of picture, in one batch where sizes differ."""

    @pytest.mark.slow
    def test_sizes_in_one_batch(self, served):
        model = served("mean_scale_hyperprior")
        pictures = [photograph(*size) for size in ((1, 1), (1, 17), (37, 53), (64, 64), (131, 3))]
        streams = model["compress"]([png(p) for p in pictures])
        decoded = [pixels_of(d) for d in model["decompress"](streams)]
        assert [d.shape for d in decoded] == [p.shape for p in pictures]
        # One by one they give the same; and they show the picture, however little the model was trained.
        assert model["decompress"](streams[2:3]) == [png_bytes(model, streams[2])]
        assert np.abs(decoded[2].astype(int) - pictures[2]).mean() < 25

    def test_an_empty_batch_is_answered_by_an_empty_one(self, served):
        model = served("mean_scale_hyperprior")
        assert model["compress"](np.zeros(0, object).astype("S")) == []

    @pytest.mark.parametrize(
        "mode, format_name, decoded_mode",
        [("L", "PNG", "L"), ("LA", "PNG", "LA"), ("RGBA", "PNG", "RGBA"), ("P", "PNG", "RGB"), ("1", "PNG", "L"),
         ("RGB", "JPEG", "RGB"), ("L", "JPEG", "L"), ("RGB", "BMP", "RGB")],
    )  # fmt: skip
    def test_kinds(self, served, mode, format_name, decoded_mode):
        model = served("mean_scale_hyperprior")
        source = Image.fromarray(photograph(40, 50)).convert(mode, dither=Image.Dither.NONE)
        if "A" in mode:
            alpha = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8))
            source.putalpha(alpha)
        decoded = Image.open(io.BytesIO(model["decompress"](model["compress"]([encoded(source, format_name)]))[0]))
        assert decoded.mode == decoded_mode and decoded.size == source.size
        if "A" in mode:
            assert np.array_equal(np.asarray(decoded)[..., -1], np.asarray(alpha))
        else:
            wanted = np.asarray(source.convert("RGB")).astype(int)
            assert np.abs(np.asarray(decoded.convert("RGB")) - wanted).mean() < (60 if mode == "1" else 25)

    def test_sixteen_bits_are_cut_to_eight(self, served):
        model = served("mean_scale_hyperprior")
        grey = photograph(40, 50)[..., 0]
        deep = encoded(Image.fromarray(grey.astype(np.uint16) * 256 + 77), "PNG")
        assert model["compress"]([deep]) == model["compress"]([png(grey)])


def png_bytes(model, stream: bytes) -> bytes:
    return model["decompress"]([stream])[0]


@pytest.mark.parametrize("size", [(16 * 14, 16 * 19), (209, 100)])
def test_tiles_give_what_one_piece_gives(trained, monkeypatch, size):
    made = trained("mean_scale_hyperprior")
    server = made.recipe.signatures(made.model, made.config)
    pixels = tf.constant(photograph(*size))
    payload = server.payload
    whole = payload.analyse(pixels)
    picture = payload.synthesise(tf.round(whole), *size).numpy().astype(int)
    monkeypatch.setattr(payload, "tile", 5)
    tiled = payload.analyse(pixels)
    assert tiled.shape == whole.shape
    np.testing.assert_allclose(tiled, whole, atol=1e-3, rtol=1e-4)
    assert np.abs(payload.synthesise(tf.round(whole), *size).numpy() - picture).max() <= 1


@pytest.mark.slow
def test_every_process_reads_every_other(trained, served, tmp_path):
    """Writers and readers import TensorFlow alone, on one thread and on two; this process reads too.

    One recipe for the time's sake; the contract has a process of one thread read the streams of all.
    """
    (tmp_path / "p.png").write_bytes(png(photograph(75, 110)))
    models = {name: trained(name).directory for name in ("mean_scale_hyperprior",)}
    rows = estimate.matrix(list(models.values()), [tmp_path / "p.png"], tmp_path)
    assert len(rows) == len(models) * len(estimate.THREADS)
    assert all(row["levels"] <= 1 for row in rows), rows
    for number, name in enumerate(models):
        for writer in estimate.THREADS:
            # A stream whose latents come out otherwise here is refused.
            decoded = pixels_of(png_bytes(served(name), (tmp_path / f"{number} 0 {writer}.kmp").read_bytes()))
            assert decoded.shape == (75, 110, 3)


@pytest.mark.slow
class TestSerialDecoding:
    """The autoregressive codec's two orders and its masked parallel pass agree."""

    @pytest.fixture(scope="class")
    def coded(self, trained):
        """order -> (sections, y_hat) of the same latents by the same weights."""
        made, done = trained("autoregressive"), {}
        y = None
        for order in ("wavefront", "raster"):
            config = made.recipe.make_config("small", {"channels": "8", "latents": "12", "order": order})
            model = made.recipe.build(config)
            model.set_weights(made.model.get_weights())
            for layer in [model.context, *model.fusion.layers, *model.hyper_synthesis.layers]:
                # A short training leaves the parameters nearly constant: make them differ.
                if hasattr(layer, "kernel"):
                    layer.kernel.assign(np.random.default_rng(3).normal(0, 0.15, layer.kernel.shape))
            server = made.recipe.signatures(model, config)
            y = server.payload.analyse(tf.constant(photograph(7 * 16, 11 * 16))) if y is None else y
            encode = tf.function(server.payload.latents.encode, autograph=False)
            decode = tf.function(lambda s, server=server: server.payload.latents.decode(s, 7, 11), autograph=False)
            sections, y_hat = encode(y)
            done[order] = model, server.payload.latents, sections, y_hat.numpy(), decode(sections).numpy()
        return y, done

    def test_both_orders_give_the_same_latents_and_decode_exactly(self, coded):
        _, done = coded
        for _, _, _, y_hat, decoded in done.values():
            assert np.array_equal(y_hat, decoded)
        assert np.array_equal(done["wavefront"][3], done["raster"][3])

    def test_serial_parameters_are_the_masked_pass_of_the_whole(self, coded):
        y, done = coded
        model, latents, _, y_hat, _ = done["wavefront"]
        z_hat = tf.round(model.hyper_latents(y))
        mean, _ = (np.array(p) for p in model._parameters(y_hat, z_hat))
        assert mean.std() > 0.1
        away = y_hat - mean
        np.testing.assert_allclose(away, np.round(away), atol=0.05)  # fixed-point against floating-point arithmetic

    def test_a_later_latent_changes_nothing_before_it(self, coded):
        y, done = coded
        model = done["wavefront"][0]
        z_hat, y_hat = tf.round(model.hyper_latents(y)), done["wavefront"][3]
        changed = y_hat.copy()
        changed[0, 3, 5] += 9
        before, after = (np.array(model._parameters(v, z_hat)[0])[0] for v in (y_hat, changed))
        differs = np.abs(before - after).max(-1) > 1e-4
        assert not differs[:3].any() and not differs[3, :6].any() and differs[3, 6] and differs[4, 5]


@pytest.mark.parametrize("network", ["hyper_synthesis", "context", "fusion"])
def test_weights_that_steer_the_decoder_must_be_exact(network):
    recipe = registry.get("autoregressive")
    config = recipe.make_config("small", KINDS["codec"].tiny)
    model = recipe.build(config)
    kernel = getattr(model, network).trainable_variables[0]
    kernel.assign(np.where(np.arange(kernel.shape[-1]) == 3, np.nan, kernel))
    with pytest.raises(ValueError, match="its weights are too large for exact sums .or not finite"):
        recipe.signatures(model, config)


def test_real_bits_are_the_estimated_ones_for_latents_of_the_model():
    """Latents drawn from the Gaussians: the coder's tables cost 1 % more than the densities at most."""
    rng = np.random.default_rng(5)
    for centre in (8.0, 18.0, 30.0):
        levels = np.clip(rng.normal(centre, 5, 60_000), 0, gaussian.LEVELS - 1).astype(np.float32)
        scales = np.array(gaussian.scale_of(levels))
        symbols = np.round(rng.normal(size=levels.size) * scales).astype(np.int32)
        coder = RansCoder(gaussian_tables(gaussian.level_scales()))
        real = 8 * len(coder.encode(tf.constant(symbols), tf.constant(np.round(levels).astype(np.int32))).numpy())
        promised = float(gaussian.bits(symbols[None].astype(np.float32), scales[None])[0])
        assert abs(real - promised) < 0.01 * promised + 8 * 40


class TestRefusals:
    """Bad input is tf.errors.InvalidArgumentError with a reason."""

    @pytest.fixture(scope="class")
    def stream(self, served):
        return served("mean_scale_hyperprior")["compress"]([png(photograph(60, 40))])[0]

    def refused(self, call, value: bytes) -> str:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            call([value])
        return caught.value.message

    @pytest.mark.parametrize(
        "make, message",
        [(lambda s: b"", "the stream is empty"), (lambda s: s[:-1], "damaged"), (lambda s: s[:20], "truncated"),
         (lambda s: s + b"0", "damaged"), (lambda s: png(photograph(9, 9)), "not a Kompakt stream"),
         (lambda s: encoded(Image.fromarray(photograph(9, 9)), "JPEG"), "not a Kompakt stream"),
         (lambda s: s[:3] + b"\x09" + s[4:], "unsupported version"),
         (lambda s: s[:60] + bytes([s[60] ^ 4]) + s[61:], "checksum")],
    )  # fmt: skip
    def test_streams(self, served, stream, make, message):
        assert message in self.refused(served("mean_scale_hyperprior")["decompress"], make(stream))

    @pytest.mark.slow
    def test_another_model(self, served, stream):
        message = self.refused(served("hyperprior")["decompress"], stream)
        assert re.search("written by another model.*of fingerprint", message)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", RECIPES)
    def test_a_header_that_lies_about_the_size(self, served, name):
        """Sizes that would be gigabytes of latents: found out before they are reserved."""
        model = served(name)
        stream = model["compress"]([png(photograph(60, 40))])[0]
        model["decompress"]([stream])  # the first call also makes the graph ready, some 100 MiB
        memory = damage.Memory()
        for sides, message in (((2048, 65535), "too short for a picture of its size"), ((2049, 65535), TOO_LARGE)):
            forged = damage.sealed(stream[:20] + b"".join(side.to_bytes(2, "little") for side in sides) + stream[24:])
            memory.restart()
            before = memory.now()
            assert message in self.refused(model["decompress"], forged)
            assert memory.peak() - before < 100 << 20

    def test_unknown_flags(self, served, stream):
        forged = damage.sealed(stream[:24] + b"\x40" + stream[25:])
        assert "decoded latents differ" in self.refused(served("mean_scale_hyperprior")["decompress"], forged)

    @pytest.mark.parametrize(
        "picture",
        [b"", b"no picture", png(photograph(30, 30))[:-400], png(photograph(30, 30))[:60],
         encoded(Image.fromarray(photograph(90, 90)), "JPEG")[:500],
         encoded(Image.fromarray(photograph(30, 30)), "BMP")[:300], b"KMP\1" + bytes(80)],
    )  # fmt: skip
    def test_pictures(self, served, picture):
        assert self.refused(served("mean_scale_hyperprior")["compress"], picture)


def test_recipes_are_all_here():
    assert set(RECIPES) <= set(registry.recipes())
