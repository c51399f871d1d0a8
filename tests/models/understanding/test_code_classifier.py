"""Codes in training are those of the streams, whoever reads them; and what no reader takes."""

import dataclasses
import json
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts as artifacts
from tfx.utils import path_utils

from components.training import codes as step
from models.contract import registry
from models.contract.recipe import ConfigError
from models.entropy.coder.header import STORED
from models.publishing import pushed
from models.records import kept
from models.records import pictures as picture_records
from models.understanding import codecs, inputs
from models.understanding.reader import Reader
from tests.models.code_kind import CODEC, SIZE, pushed_codec
from tests.models.kinds import KINDS, photograph, picture_record, png, tiny, write_records

RECIPE = registry.get("code_classifier")
KIND = KINDS["codes"]


@pytest.fixture(scope="module")
def variable(tmp_path_factory):
    """A folder of versions with a codec of several rates, never trained."""
    folder = tmp_path_factory.mktemp("variable")
    recipe = registry.get("factorized")
    config = recipe.make_config("small", CODEC | {"rates": 2})
    model = recipe.build(config)
    pushed.save(folder / "1", recipe, config, model)
    return str(folder)


class Made(NamedTuple):
    """What `Codes` wrote: record files, the options that read them, and one of the streams."""

    files: list[str]
    config: object
    stream: bytes


@pytest.fixture(scope="module")
def made(variable, tmp_path_factory):
    """Codes of pictures of several sizes by a variable codec at quality 80."""
    folder = tmp_path_factory.mktemp("codes")
    examples, codec, outputs = (kind() for kind in (artifacts.Examples, artifacts.Model, artifacts.Examples))
    examples.uri, examples.split_names = str(folder / "examples"), json.dumps(["train", "validation"])
    for split, sizes in {"train": [(50, 67), (1, 1), (37, 37)], "validation": [(9, 200)]}.items():
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        records = [picture_record(photograph(*s), f"{n}", label=n % 2, label_name="ab"[n % 2])
                   for n, s in enumerate(sizes)]  # fmt: skip
        write_records(folder / "examples" / f"Split-{split}" / "r.gz", records)
    codec.uri, outputs.uri = str(folder / "codec"), str(folder / "outputs")
    step.take(variable, "", path_utils.serving_model_dir(codec.uri))
    options = {"image_size": 37, "codec": variable, "quality": 80}
    step.write_codes(examples, codec, outputs, RECIPE.name, json.dumps(options))
    files = [f"{outputs.uri}/Split-train/data-00000-of-00001.gz"]
    config = RECIPE.adapt(RECIPE.make_config("small", options | {"codec": codec.uri + "/Format-Serving"}), files)
    said = kept.parse(next(iter(picture_records.records(files))), kept.beside(files))
    return Made(files, dataclasses.replace(config, batch_size=3), said["codes/bitstream_bytes"].numpy())


@pytest.mark.slow
def test_kept_codes_equal_those_of_decoded_streams_bit_for_bit(made, variable):
    found = kept.beside(made.files)
    assert set(found) == {"codes/received", "codes/bitstream_bytes"}
    receiver = Reader(*pushed_codec(f"{variable}/1"))  # it is told no quality: streams say theirs
    latents, labels = next(iter(RECIPE.inputs(made.files, made.config, False)))
    assert latents.shape == (3, 3, 3, CODEC["latents"]) and labels.shape == (3, 2)  # 37 pixels are 3 latents
    for record, given in zip(picture_records.records(made.files), latents, strict=True):
        said = kept.parse(record, found)
        decoded = receiver.read(said["codes/bitstream_bytes"])
        assert decoded.numpy().tobytes() == said["codes/received"].numpy().tobytes() == given.numpy().tobytes()
    assert len({t.numpy().tobytes() for t in latents}) == 3
    # They are scaled as the codec scales what it draws a picture from: with an untrained codec's gains of root 2.
    unit = np.abs(latents.numpy()[np.nonzero(latents.numpy())]).min()
    assert np.isclose(unit, receiver.payload.gains(tf.constant(round(0.8 * 63)))[1][0, 0, 0, 0], rtol=1e-6) and unit > 1


@pytest.fixture(scope="module")
def server():
    """A server that was never saved, of a network of untrained weights on values of its scale."""
    config = RECIPE.make_config("small", tiny(RECIPE))
    keras.utils.set_random_seed(1)
    model = RECIPE.build(config)
    model.network.layers[1].moving_variance.assign(np.full(CODEC["latents"], 1e4))
    return RECIPE.signatures(model, config)


class TestServed:
    """Signatures, called as they are."""

    @pytest.mark.slow
    def test_streams_of_mixed_sizes_are_answered_as_each_alone(self, server):
        pictures = [photograph(*size) for size in [(50, 67), (1, 1), (16, 16), (97, 3), (SIZE, SIZE)]]
        streams = server.encode_streams(tf.constant([png(p) for p in pictures]))["bitstream_bytes"]
        together = server.predict_streams(streams)["probabilities"].numpy()
        assert len(np.unique(together.round(3), axis=0)) > 3
        for picture, stream, p in zip(pictures, streams, together, strict=True):
            np.testing.assert_allclose(server.predict_streams(stream[None])["probabilities"][0], p, rtol=1e-5)
            codes = server.reader.read(stream).numpy()
            assert codes.shape == (*(-(-side // 16) for side in picture.shape[:2]), CODEC["latents"])
            expected = tf.nn.softmax(server.model.network(codes[None], training=False))[0]
            np.testing.assert_allclose(expected, p, rtol=1e-5)

    @pytest.mark.slow
    def test_its_streams_are_the_codecs_and_a_stored_picture_is_coded_first(self, server):
        picture, flat = png(photograph(50, 67)), png(np.full((40, 30, 3), 7, np.uint8))
        stream, coded = server.encode_streams(tf.constant([picture, flat]))["bitstream_bytes"]
        recipe, model, config = pushed_codec(KIND.codec)
        codec = recipe.signatures(model, dataclasses.replace(config, store=True))
        assert codec.code_picture(tf.constant(picture), tf.constant(32)) == stream
        stored = codec.write_stream(tf.constant(flat), tf.constant(32))
        assert stored.numpy()[3] == STORED
        p = server.predict_streams(tf.stack([stored, coded]))["probabilities"].numpy()
        np.testing.assert_allclose(p[0], p[1], rtol=1e-6)

    @pytest.mark.slow
    def test_other_codecs_and_damage_are_refused(self, server, made):
        with pytest.raises(tf.errors.InvalidArgumentError, match="the stream was written by another model"):
            server.predict_streams(tf.constant([made.stream]))
        ours = KIND.reader.write(tf.constant(photograph(20, 20)))[0].numpy()
        for damaged in (ours[:-1], b"no stream", b""):
            with pytest.raises(tf.errors.InvalidArgumentError):
                server.predict_streams(tf.constant([damaged]))


@pytest.mark.slow
def test_is_built_again_without_the_folder_of_its_codec(trained):
    directory = trained(RECIPE.name).directory
    about = pushed.describe(str(directory))
    assert about["config"]["codec"] == "" and about["trained_by"]["config"]["codec"]  # a path of who trained it
    _, config, model = pushed.load(str(directory))
    recipe, of_codec = codecs.of_about(config.codec_about)
    assert Reader(recipe, model.codec, of_codec).fingerprint == KIND.reader.fingerprint
    for ours, theirs in zip(model.codec.get_weights(), pushed_codec(KIND.codec)[1].get_weights(), strict=True):
        assert np.array_equal(ours, theirs)  # training left it alone


@pytest.mark.slow
def test_the_rgb_twin_reads_decoded_pictures(tmp_path):
    config = RECIPE.make_config("small", tiny(RECIPE) | {"rgb": True, "image_size": SIZE})
    reader = Reader(*pushed_codec(KIND.codec), rgb=True)
    record = picture_record(photograph(SIZE, SIZE), label=1, label_name="b")
    stream, pixels = reader.write(tf.constant(photograph(SIZE, SIZE)))
    assert pixels.dtype == tf.uint8 and np.array_equal(pixels, reader.read(stream))
    file = write_records(tmp_path / "r.gz", [kept.annotated(record, {"codes/received": pixels.numpy()})])
    (seen, labels), model = next(iter(RECIPE.inputs([file], config, False))), RECIPE.build(config)
    np.testing.assert_allclose(seen[0], pixels.numpy() / 255, atol=1e-6)
    assert model(seen).shape == labels.shape == (1, 3)


def test_mistakes_are_one_line(tmp_path):
    for options, said in (
        ({"flip": True}, "flip=True: codes are read as they are kept"),
        ({"blocks": "1,x,1"}, "blocks=1,x,1: wanted are whole numbers above zero"),
        ({"codec": "l3c"}, "codec=l3c: l3c is lossless or generative"),
        ({"codec": "factorized", "codec_settings": "chanels=3"}, "factorized has no option 'chanels'"),
        ({"codec": "resnet"}, "codec=resnet: resnet, which is no image codec"),
    ):
        with pytest.raises(ConfigError, match=said):
            RECIPE.make_config("small", options)
    for codec, said in ((str(tmp_path), "no pushed model, no released one"), ("ecg_crnn", "which is no image codec")):
        with pytest.raises(ConfigError, match=said):
            codecs.described(codec)
    with pytest.raises(ConfigError, match="quality=20: factorized was trained for one rate"):
        Reader(*pushed_codec(KIND.codec), 20)
    with pytest.raises(ConfigError, match="changed while the pipeline started"):
        step.take(KIND.codec, "another digest", str(tmp_path / "codec"))
    plain = write_records(tmp_path / "r.gz", [picture_record(photograph(9, 9), label=1, label_name="b")])
    with pytest.raises(ConfigError, match="the records hold no codes"):
        RECIPE.inputs([plain], RECIPE.make_config("small", tiny(RECIPE)), True)
    assert inputs.PREFIX + inputs.CODES == "codes/received"
