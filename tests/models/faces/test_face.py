"""The network for faces: options, backbones, whose classes there are, the threshold of each epoch, what is served."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.contract import registry
from models.contract.recipe import ConfigError
from models.faces import decision, mobilefacenet, verification
from models.faces.inputs import adapt, inputs
from models.publishing import pushed
from models.publishing.export import export
from models.training.loop import train
from tests.models.examples import face_record, photograph, picture_record, png, write_records
from tests.models.face_kind import Face

RECIPE = registry.get("face")


def config_of(**options):
    return RECIPE.make_config("small", Face.tiny | options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "resnt"}, "backbone=resnt: not one of the classifiers"),
        ({"backbone": "mean_scale_hyperprior"}, "not one of the classifiers"),
        ({"backbone": "resnet", "backbone_settings": "depth=9"}, "depth=9"),
        ({"backbone": "small_cnn", "backbone_settings": "budget=1"}, "a budget of multiplications is for classifiers"),
        ({"backbone_settings": "width=4"}, "mobilefacenet has the options width_percent and depth"),
        ({"margin": -0.5}, "must be at least 0, or -1"),
        ({"classes": 1}, "nobody to tell apart"),
        ({"image_size": 4}, "must be at least 8"),
        ({"head": "sphereface"}, "not one of arcface, cosface, softmax"),
        ({"central": 0.0}, "must be between 0.05 and 1.0"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        config_of(**options)


def test_margins_are_the_papers_unless_set():
    assert config_of(margin=-1.0).used_margin == 0.5 and config_of(head="cosface", margin=-1).used_margin == 0.35
    assert config_of(margin=0.2).used_margin == 0.2 and config_of(head="softmax", margin=-1).used_margin == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"head": "cosface"}, {"head": "softmax"}, {"backbone": "small_cnn", "backbone_settings": "width=4"},
     {"backbone": "mobilenet_v2", "backbone_settings": "width_percent=10,depth=1,last=16"}],
    ids=lambda o: "-".join(o.values()),
)  # fmt: skip
def test_other_heads_and_backbones_learn(options):
    """One batch is overfitted: its persons are told apart, and the loss falls."""
    config = config_of(**options, learning_rate=1e-2, scale=16.0)
    keras.utils.set_random_seed(1)
    model = RECIPE.build(config)
    model.compile(keras.optimizers.Adam(5e-3), run_eagerly=True)
    random = np.random.default_rng(1)
    x, y = random.random((6, 16, 16, 3), np.float32), np.array([0, 0, 1, 1, 2, 2])
    before = model.train_on_batch(x, y, return_dict=True)["loss"]
    for _ in range(12):
        after = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert after < 0.6 * before
    assert np.array_equal(np.argmax(model(x, training=True)["logits"], axis=1), y)


def test_the_published_network_is_as_large_as_published():
    """MobileFaceNet: 0.99 million parameters and 221 million multiplications and additions (arXiv:1804.07573)."""
    pixels = keras.Input((112, 112, 3))
    network = keras.Model(pixels, keras.layers.Dense(128, use_bias=False)(mobilefacenet.maps(pixels, 100, 6)))
    assert network.layers[-2].output.shape == (None, 512)
    assert 0.95e6 < network.count_params() < 1.05e6
    shapes = [layer.output.shape[1] for layer in network.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert shapes[0] == 56 and shapes[-2] == 7 and shapes[-1] == 1


@pytest.mark.parametrize(("side", "last"), [(8, 4), (16, 4), (31, 4), (32, 4), (48, 6), (64, 4), (100, 7)])
def test_small_pictures_keep_last_maps_that_have_places(side, last):
    pixels = keras.Input((side, side, 3))
    network = keras.Model(pixels, mobilefacenet.maps(pixels, 10, 1))
    sides = [layer.output.shape[1] for layer in network.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert sides[-1] == 1 and sides[-2] == last


def test_persons_of_the_validation_are_no_classes(tmp_path):
    pictures = [face_record(photograph(20, 16 + n, 9 * n), n, n % 3) for n in range(6)]
    file = write_records(tmp_path / "r.gz", pictures)
    found = adapt(RECIPE.make_config("small", {"central": 0.5}), [file])
    assert (found.classes, found.image_size) == (3, 8)
    with pytest.raises(ConfigError, match="classes=2: the training pictures show at least 3 persons"):
        adapt(RECIPE.make_config("small", {"classes": 2}), [file])
    config = dataclasses.replace(found, classes=2, batch_size=4)
    batches = list(inputs([file], config, False))
    persons = np.concatenate([y for _, y in batches])
    assert persons.tolist() == [0, 0, 1, 1, 2, 2] and batches[0][0].shape == (4, 8, 8, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the head knows"):
        list(inputs([file], config, True).take(2))
    nobody = write_records(tmp_path / "n.gz", [picture_record(photograph(16, 16))])
    with pytest.raises(ConfigError, match="do not say whom they show"):
        adapt(config, [nobody])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the person of"):
        list(inputs([nobody], config, False))


def test_batches_of_a_sampler_hold_several_pictures_of_each(tmp_path):
    pictures = [face_record(photograph(16, 16, 9 * n), n, n % 3) for n in range(12)]
    file = write_records(tmp_path / "r.gz", pictures)
    config = config_of(sampler="class_uniform", per_class=3)
    _, persons = next(iter(inputs([file], config, True)))
    assert sorted(np.unique(persons, return_counts=True)[1]) == [3, 3] and persons.dtype == tf.int32


def test_the_central_share_is_what_is_seen():
    from models.classifiers.inputs import prepare

    pixels = photograph(250, 260)
    found = prepare(tf.constant(png(pixels)), 128, 0.512).numpy()
    assert np.array_equal(found, pixels[61:189, 66:194])
    assert np.array_equal(prepare(tf.constant(png(pixels)), 250), pixels[:, 5:255])
    assert prepare(tf.constant(png(pixels[:1, :1])), 8, 0.05).shape == (8, 8, 3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny training: (configuration, model, files, folder)."""
    folder = tmp_path_factory.mktemp("faces")
    files = Face.write(folder)
    config = config_of(steps=6, steps_per_epoch=2, false_accept_rate=0.3)
    model = train(
        RECIPE, config, [files["train"]], [files["validation"]],
        work_dir=str(folder / "work"), log_dir=str(folder / "logs"), progress=False,
    )  # fmt: skip
    export(RECIPE, config, model, str(folder / "model"))
    return config, model, files, folder


@pytest.mark.slow
def test_the_threshold_is_of_the_epoch_that_is_given_back(finished):
    config, model, files, folder = finished
    history = json.loads((folder / "logs" / "history.json").read_text())
    assert [e["step"] for e in history] == [2, 4, 6] and all(0 <= e["val_eer"] <= 1 for e in history)
    embeddings, persons = decision.embedded(model, [files["validation"]], config)
    assert set(persons) == {3, 4, 5}
    threshold, rate, impostors = np.array(model.decision)
    pairs = verification.all_pairs(embeddings, persons)
    assert impostors == (~pairs.same).sum() == 12
    assert rate == pytest.approx((pairs.scores[~pairs.same] >= threshold).mean()) and rate <= 0.3
    higher = np.sort(pairs.scores[~pairs.same])[::-1][:4]  # of twelve a fourth would be a third
    assert rate == pytest.approx(3 / 12) or higher[2] - higher[3] < 1e-6


@pytest.mark.slow
def test_served_embeddings_are_the_models(finished):
    config, model, _, folder = finished
    served = tf.saved_model.load(str(folder / "model")).signatures
    pixels = [photograph(16, 16, 30 * n) for n in range(5)]
    answer = served["embed"](image_bytes=tf.constant([png(p) for p in pixels]))["embedding"].numpy()
    local = np.array(model(np.stack(pixels).astype("float32") / 255, training=False)["embedding"])
    np.testing.assert_allclose(answer, local, atol=1e-5)
    for n in range(5):
        alone = served["embed"](image_bytes=tf.constant([png(pixels[n])]))["embedding"].numpy()[0]
        np.testing.assert_allclose(alone, local[n], atol=1e-5)
    _, again, loaded = pushed.load(str(folder / "model"))
    assert again == config and np.array_equal(np.array(loaded.decision), np.array(model.decision))


def test_a_share_of_no_pair_is_no_decision():
    embeddings = np.eye(3, dtype="float32")
    assert decision.decide(embeddings, np.array([1, 1, 1]), 0.1).tolist() == [2.0, 0.0, 0.0]
    found = decision.decide(embeddings, np.array([1, 1, 2]), 0.0)
    assert found[0] == pytest.approx(0.5) and found[1] == 0 and found[2] == 2


def test_thousands_of_persons_are_one_matrix():
    """The head of 50,000 persons is [D, C] and nothing else of that size is kept."""
    config = config_of(classes=50_000)
    model = RECIPE.build(config)
    sizes = sorted((int(np.prod(w.shape)) for w in model.weights), reverse=True)
    assert sizes[0] == 8 * 50_000 and sizes[1] < 10_000
    found = model(ops.zeros((2, 16, 16, 3)))
    loss = model.compute_loss(None, np.array([1, 49_999]), found)
    assert np.isfinite(float(loss))
