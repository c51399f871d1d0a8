"""What models say of pictures stands in their records: a codec's streams, and the latents of a Keras model."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from components.training import kept as step
from components.training import teacher
from models.classifiers.inputs import prepare
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed
from models.records import kept
from models.records import pictures as picture_records
from tests.components import tiny_codec
from tests.models.examples import png
from tests.models.kinds import photograph, picture_record, tiny, write_records

SIZES = {"train": [(64, 80), (32, 48), (64, 64)], "test": [(16, 16)]}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Photographs of several sizes in two splits."""
    artifact, folder = standard_artifacts.Examples(), tmp_path_factory.mktemp("examples")
    artifact.uri, artifact.split_names = str(folder), json.dumps(list(SIZES))
    for split, sizes in SIZES.items():
        (folder / f"Split-{split}").mkdir()
        records = [picture_record(photograph(*size), f"{split} {n}") for n, size in enumerate(sizes)]
        write_records(folder / f"Split-{split}" / "r.gz", records)
    return artifact


@pytest.fixture
def outputs(tmp_path):
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "outputs")
    return artifact


def told(outputs, split: str) -> dict:
    """What is kept in a split, by the id of the picture."""
    folder = f"{outputs.uri}/Split-{split}"
    files = [f"{folder}/{name}" for name in tf.io.gfile.listdir(folder)]
    records = list(picture_records.records(files))
    ids = [picture_records.parse(r)[picture_records.ID].numpy().decode() for r in records]
    return dict(zip(ids, (kept.parse(r, kept.beside(files)) for r in records), strict=True))


def test_a_codecs_streams_stand_beside_the_pictures_that_they_decode_to(examples, outputs, tmp_path):
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    (tmp_path / "model").mkdir()
    tiny_codec.save(tmp_path / "model" / "Format-Serving")
    node = step.KeptOutputs(
        examples=channel_utils.as_channel([examples]), model=channel_utils.as_channel([model]), signature="compress",
        names="", prefix="codec/",
    )  # fmt: skip
    parameters = dict(node.exec_properties)
    node.executor_spec.executor_class().Do(
        {"examples": [examples], "model": [model]}, {"outputs": [outputs]}, parameters
    )
    assert json.loads(outputs.split_names) == list(SIZES)
    decompress = tf.saved_model.load(f"{model.uri}/Format-Serving").signatures["decompress"]
    for split, sizes in SIZES.items():
        found = told(outputs, split)
        assert list(found) == [f"{split} {n}" for n in range(len(sizes))]
        for values, size in zip(found.values(), sizes, strict=True):
            (image,) = decompress(bitstream_bytes=values["codec/bitstream_bytes"][None])["image_bytes"].numpy()
            decoded = picture_records.decode(tf.constant(image)).numpy()
            assert np.abs(decoded.astype(int) - photograph(*size)).max() <= 8
    for signature, names, message in (
        ("squeeze", "", "no signature 'squeeze'"),
        ("compress", "x", "gives no 'x'; it"),
    ):
        with pytest.raises(ConfigError, match=message):
            step.keep_signature(examples, model, outputs, signature, names, "codec/")


def test_latents_of_pictures_of_several_sizes_are_kept_as_they_are(examples, outputs):
    recipe = registry.get("factorized")
    keras.utils.set_random_seed(1)
    codec = recipe.build(recipe.make_config("small", tiny(recipe)))

    def latents(pixels):
        return np.array(codec.analysis(pixels[None].astype("float32") / 255.0))[0]

    def say(records):
        encoded = picture_records.parse(records)[picture_records.ENCODED]
        return {"latents": [latents(picture_records.decode(e).numpy()) for e in encoded]}

    step.write(examples, outputs, say, list(SIZES), "codec/")
    channels = codec.config.latents
    assert kept.loads(open(f"{outputs.uri}/{kept.FILE}").read()) == {
        "codec/latents": kept.Output("float32", (None, None, channels))
    }
    for values, (height, width) in zip(told(outputs, "train").values(), SIZES["train"], strict=True):
        assert values["codec/latents"].shape == (height // 16, width // 16, channels)
        np.testing.assert_array_equal(values["codec/latents"], latents(photograph(height, width)))


def test_embeddings_of_any_tool_and_of_a_network_are_kept_for_students(tmp_path):
    """The step TeacherEmbeddings: by ids of a file, and by a network for faces as it sees a picture."""
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(tmp_path / "examples"), '["train", "validation"]'
    ids = []
    for split, count in (("train", 3), ("validation", 2)):
        (folder := tmp_path / "examples" / f"Split-{split}").mkdir(parents=True)
        records = [picture_record(photograph(24, 30, 9 * n), f"{split} {n}", label=n) for n in range(count)]
        write_records(folder / "r.gz", records)
        ids += [f"{split} {n}" for n in range(count)]
    (given := tmp_path / "given" / "Format-Serving").mkdir(parents=True)
    rows = np.random.default_rng(1).normal(size=(5, 4))
    np.savez(given / "any.npz", ids=np.array(ids), embeddings=rows)
    recipe = registry.get("face")
    config = recipe.make_config("small", tiny(recipe) | {"central": 0.5})
    network = recipe.build(config)
    pushed.save(tmp_path / "face" / "Format-Serving", recipe, config, network, fingerprint="1")
    found = []
    for name in ("given", "face"):
        model, outputs = standard_artifacts.Model(), standard_artifacts.Examples()
        model.uri, outputs.uri = str(tmp_path / name), str(tmp_path / f"outputs of {name}")
        teacher.write_embeddings(artifact, model, outputs, "0..1", 0, 1.0)
        said = {key: value for split in ("train", "validation") for key, value in told(outputs, split).items()}
        found.append([said[key]["teacher/embedding"].numpy() for key in ids])
    np.testing.assert_allclose(found[0], rows, rtol=1e-6)
    pixels = np.stack([prepare(tf.constant(png(photograph(24, 30, 9 * n))), 16, 0.5) for n in (0, 1, 2, 0, 1)])
    np.testing.assert_allclose(found[1], np.array(network.network(pixels / np.float32(255.0))), atol=1e-4)
