"""The soft-to-hard codec: vectors and back, its phases, and streams of its indices."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from components.native_model import NativeModel
from models.codecs.serving.indices import IndexLatents
from models.contract import registry
from models.contract.recipe import ConfigError
from models.entropy.densities.tables import CdfTables
from models.publishing import parts
from models.publishing.export import export
from models.training.loop import train
from tests.models.examples import photograph, png
from tests.models.kinds import tiny

RECIPE = registry.get("soft_to_hard")
SMALL = tiny(RECIPE) | {"centres": 32, "blocks": 1, "steps": 12, "steps_per_epoch": 4}


def config_of(**options):
    return RECIPE.make_config("small", SMALL | options)


@pytest.fixture(scope="module", params=[{}, {"dimension": 1, "centres": 4, "latents": 8}], ids=["vectors", "scalars"])
def done(request, records, tmp_path_factory):
    """All phases, and the exported model."""
    folder, files, config = tmp_path_factory.mktemp("codec"), records("codec"), config_of(**request.param)
    model = train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(folder / "work"),
                  log_dir=str(folder / "logs"), progress=False)  # fmt: skip
    export(RECIPE, config, model, str(folder / "model"))
    return config, model, folder


@pytest.mark.parametrize("dimension, latents", [(4, 3), (1, 12)])
def test_a_vector_is_a_square_of_one_channel(dimension, latents):
    model = RECIPE.build(config_of(dimension=dimension, latents=latents))
    x = photograph(64, 48).astype("float32")[None] / 255.0
    z, vectors = np.array(model.analysis(x)), np.array(model.bottleneck(x))
    assert z.shape == (1, 8, 6, 3) and vectors.shape == (1, 4, 3, 12)
    square = z[0, 2:4, 4:6, 1].ravel()
    own = vectors[0, 1, 2].reshape(3, 4)[1] if dimension == 4 else vectors[0, 1, 2].reshape(4, 3)[:, 1]
    assert np.array_equal(own, square)
    assert np.allclose(model.draw(vectors), model.synthesis(z), atol=1e-5)


def test_it_starts_as_a_wavelet_that_shows_the_picture():
    x, found = photograph(128, 128).astype("float32")[None] / 255.0, []
    for start in ("haar", "random"):
        model = RECIPE.build(config_of(latents=24, stage="plain", channels=48, start=start))
        error = np.square(np.array(model(x, training=False)["x_hat"]) - x).mean()
        found.append(-10 * np.log10(error))
    assert found[0] > 20 and found[1] < 12


@pytest.mark.slow
def test_the_phases_are_those_of_the_paper(done):
    config, model, folder = done
    history = json.loads((folder / "logs" / "history.json").read_text())
    assert [e["phase"] for e in history] == ["plain", "joint", "hard"]
    assert history[0]["val_bpp"] == 0 < history[1]["val_bpp"]
    assert model.config.stage == "hard" and not model.analysis.trainable


def test_training_sees_soft_values_and_validation_hard_ones():
    model = RECIPE.build(config_of())
    x = photograph(64, 64).astype("float32")[None] / 255.0
    samples = np.array(model.bottleneck(x))
    model.quantizer.start(samples)
    soft, hard = (np.array(model(x, training=t)["x_hat"]) for t in (True, False))
    assert not np.allclose(soft, hard, atol=1e-4)
    assert np.allclose(hard, model.draw_indices(model.indices(x)), atol=1e-5)
    assert model.gap(x) != 0
    model.quantizer.sigma.assign(1e6)
    assert np.allclose(model(x, training=True)["x_hat"], hard, atol=1e-3)


@pytest.mark.slow
def test_a_stream_holds_the_indices(done):
    config, model, folder = done
    pixels = photograph(50, 67)
    with NativeModel(folder / "model", config=parts.inlining().SerializeToString()) as served:
        stream = served("compress", image_bytes=[png(pixels)])["bitstream_bytes"][0]
        again = served("decompress", bitstream_bytes=[stream])["image_bytes"][0]
        assert again.startswith(b"\x89PNG")
        numbers = served("serving_default", examples=[_record(pixels)])
        for cut in (5, len(stream) // 2, len(stream) - 1):
            with pytest.raises(Exception, match="stream"):
                served("decompress", bitstream_bytes=[stream[:cut]])
    padded = np.pad(pixels, ((0, 14), (0, 13), (0, 0)), "edge")
    symbols = np.array(model.indices(padded[None].astype("float32") / 255.0))
    bits = float(model.index_bits(symbols)[0])
    assert abs(float(numbers["estimated_bpp"][0, 0]) * 50 * 67 - bits) < 0.1 * bits + 30


def _record(pixels):
    from tests.models.examples import picture_record

    return picture_record(pixels)


@pytest.mark.slow
def test_tables_are_the_histograms_of_the_channels(done):
    config, model, _ = done
    tables = CdfTables.of(IndexLatents.tables_of(model), "prior", config.latents)
    usage = np.array(model.quantizer.usage)
    for n in range(config.latents):
        shares = np.diff(tables.cdfs[n])[: config.centres] / 2**tables.precision
        assert np.allclose(shares, usage[n % config.depth], atol=(config.centres + 1) / 2**14)
    assert len(usage) == config.depth


@pytest.mark.slow
@pytest.mark.parametrize("annealing", ["fixed", "ste"])
def test_other_ways_than_the_controller_train(annealing, records, tmp_path):
    keras.utils.clear_session()
    files, config = records("codec"), config_of(annealing=annealing, plain_share=0.0, steps=6)
    model = train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / "w"),
                  log_dir=str(tmp_path / "l"), progress=False)  # fmt: skip
    history = json.loads((tmp_path / "l" / "history.json").read_text())
    assert {e["phase"] for e in history} == {"joint", "hard"} and np.isfinite(history[-1]["val_loss"])
    assert 0 < float(model.quantizer.annealed[0]) <= 3  # of the epoch of the joint phase that was kept


def test_options_that_do_not_go_together_are_refused():
    with pytest.raises(ConfigError, match="one model is one rate"):
        config_of(rates=3)
    with pytest.raises(ConfigError, match="multiple of 4"):
        config_of(dimension=1, latents=6)
    with pytest.raises(ConfigError, match="nothing is left"):
        config_of(plain_share=0.5, joint_share=0.5)
    assert dataclasses.replace(config_of(), dimension=1).depth == 3
