"""Teachers of any origin, what is wrong with some, and students that learn from them."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.classifiers import inputs as classifier_inputs
from models.contract import registry
from models.contract.recipe import ConfigError
from models.distillation import checks, student, teacher
from models.distillation.student import StudentConfig
from models.layers import cost
from models.records import kept
from models.records import pictures as picture_records
from tests.models.kinds import tinted, write_records

SIZE, K = 16, 3
DATA = {"classes": K, "image_size": SIZE, "batch_size": 6, "steps": 4, "steps_per_epoch": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [write_records(tmp_path_factory.mktemp("tinted") / "r.gz", [tinted(n, f"{n}") for n in range(18)])]


@pytest.fixture(scope="module")
def pixels(files):
    """All pictures and their labels."""
    batches = list(classifier_inputs.inputs(files, StudentConfig(**DATA | {"batch_size": 18}), False))
    return batches[0][0].numpy(), batches[0][1].numpy().argmax(1)


@pytest.fixture(scope="module")
def seen(files, pixels):
    """Their records and labels, and their side: what a teacher is checked on."""
    return tf.constant(list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())), pixels[1], SIZE


def tint_model(scale=1.0, classes=K, softmax=False, size=SIZE) -> keras.Model:
    """A model of a user's own that tells the tint; its threshold fits pixels of one range alone."""
    x = inputs = keras.Input((size, size, 3))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    dense = keras.layers.Dense(classes, activation="softmax" if softmax else None, name="answer")
    model = keras.Model(inputs, dense(x))
    dense.set_weights([np.eye(3, classes, dtype="float32") * 30 / scale, np.zeros(classes, "float32")])
    return model


@pytest.fixture
def saved(tmp_path):
    """Saves a model; returns its path."""

    def save(model) -> str:
        model.save(tmp_path / "teacher.keras")
        return str(tmp_path / "teacher.keras")

    return save


def test_a_keras_file_teaches_by_logits_or_probabilities(saved, pixels, seen):
    logits = teacher.load(saved(tint_model())).features()(pixels[0])["logits"]
    found = teacher.load(saved(tint_model(softmax=True)))
    assert found.output == "probabilities" and found.names == ["average", "answer"]
    said = found.features(["average"])(pixels[0])
    np.testing.assert_allclose(tf.nn.softmax(said["logits"]), tf.nn.softmax(logits), atol=1e-5)
    np.testing.assert_allclose(said["average"], pixels[0].mean((1, 2)), atol=1e-5)
    assert checks.check_answers(found, *seen) == 1.0
    assert not found.features().trainable_variables


def test_a_saved_model_teaches(tmp_path, pixels):
    model = tint_model()
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", model.call, [tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    found = teacher.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(found.features()(pixels[0])["logits"], model(pixels[0]), rtol=1e-4)


def test_pixels_of_another_range_are_noticed(saved, seen):
    model = tint_model(255.0)
    kernel, bias = model.get_layer("answer").get_weights()
    bias[2] = 6.0  # outweighs pixels in [0, 1], not in [0, 255]
    model.get_layer("answer").set_weights([kernel, bias])
    with pytest.raises(
        ConfigError, match="right on 33% of 18 training pictures with pixels in 0..1, on .* set teacher_"
    ):
        checks.check_answers(teacher.load(saved(model)), *seen)
    assert checks.check_answers(teacher.load(saved(model), range="0..255"), *seen) > 0.9
    ours = dataclasses.replace(teacher.load(saved(model)), is_ours=True)
    assert checks.check_answers(ours, *seen) < 0.5  # nothing is advised that would be ignored


@pytest.mark.parametrize("is_ours", [False, True])
def test_classes_in_another_order_are_named(saved, seen, is_ours):
    model = tint_model()
    kernel, bias = model.get_layer("answer").get_weights()
    model.get_layer("answer").set_weights([kernel[:, [1, 2, 0]], bias])
    found = dataclasses.replace(teacher.load(saved(model)), is_ours=is_ours)
    with pytest.raises(ConfigError, match="right on 0% of 9 .*, on 100% if its 0 is 1, its 1 is 2, its 2 is 0$"):
        checks.check_answers(found, *seen)


def test_answers_that_have_nothing_to_do_with_the_classes_are_refused():
    draw, found = np.random.default_rng(1), teacher.Teacher("t", None, [])
    labels = draw.integers(0, 100, 256)
    checks._check_order(found, draw.integers(0, 100, 256), labels)  # it guesses
    checks._check_order(found, np.full(256, 7), labels)  # it always says the same
    checks._check_order(found, np.where(draw.uniform(size=256) < 0.3, labels, 5), labels)
    wrong = (labels + draw.integers(1, 10, 256)) % 10
    with pytest.raises(ConfigError, match="right on 0 of 256 training pictures, fewer than if it guessed"):
        checks._check_order(found, wrong, labels % 10)


def test_a_teacher_with_layers_of_the_users_own_says_what_to_do(saved):
    class Mine(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    for layer, name in ((Mine(), "Mine"), (keras.layers.Lambda(lambda x: 2 * x), "Lambda")):
        pixels = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.GlobalAveragePooling2D()(layer(pixels))
        path = saved(keras.Model(pixels, keras.layers.Dense(K)(x)))
        with pytest.raises(ConfigError, match=f"it holds {name}, which only .* write it with model.export"):
            teacher.load(path)


def test_a_teacher_trained_here_draws_for_itself():
    config = StudentConfig(**DATA | {"sampler": "superclass_uniform", "per_class": 2, "seed": 3})
    _, own = student.teacher_recipe(config)
    _, of_student = student.student_recipe(config)
    assert (own.sampler, of_student.sampler) == ("uniform", "superclass_uniform") and own.seed != of_student.seed
    _, told = student.teacher_recipe(dataclasses.replace(config, teacher_settings="seed=3"))
    assert told.seed == 3


def test_teachers_that_do_not_fit_are_refused(saved, seen, tmp_path):
    def refused(model, message):
        with pytest.raises(ConfigError, match=message):
            config = config_of(saved(model))
            found = teacher.given(config)
            checks.check_view(found, SIZE)
            checks.check_answers(found, *seen)

    refused(tint_model(classes=7), "it tells 7 classes apart, the data have 3")
    refused(tint_model(size=32), "it takes pictures of 32x32, not 16x16 as the student: set image_size, or")
    broken = tint_model()
    broken.set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    refused(broken, "18 of 18 answers are not finite numbers")
    one = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    refused(one, "wanted is \\[B, H, W, 3\\] to \\[B, K\\]")
    with pytest.raises(ConfigError, match="no pushed model, .keras file, SavedModel or .npz of"):
        teacher.load(str(tmp_path / "none"))
    (tmp_path / "bad.keras").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="bad.keras: cannot be loaded"):
        teacher.load(str(tmp_path / "bad.keras"))


def config_of(path, **options) -> StudentConfig:
    return StudentConfig(**DATA | {"teacher": path, "student_settings": "width=4"} | options)


def test_a_missing_feature_is_named_with_those_there_are(saved):
    with pytest.raises(ConfigError, match="the teacher's feature 'stage3'; there are answer, average"):
        student.build(config_of(saved(tint_model()), terms="ce + attention"))
    with pytest.raises(
        ConfigError, match="the student's feature 'stage9'; there are embedding, stage1, stage2, stage3"
    ):
        student.build(config_of(saved(tint_model()), terms="ce + hint(teacher=average, student=stage9)"))
    with pytest.raises(ConfigError, match="terms: hint: a hint of shape .* does not fit"):
        student.build(config_of(saved(tint_model()), terms="ce + hint(teacher=average, student=stage1)"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"terms": "ce + logit"}, "no term 'logit'"),
        ({"student": "hyperprior"}, "student=hyperprior: not one of the classifiers"),
        ({"student_settings": "depth=3"}, "small_cnn has no option 'depth'"),
        ({"student_settings": "width"}, "wanted is KEY=VALUE"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StudentConfig(**DATA | options)


def test_the_objective_is_the_weighted_sum_of_its_terms(saved, pixels):
    path = saved(tint_model())
    terms = {"ce": 0.5, "alpha*logits(temperature=2)": 0.7, "cckd(teacher=average, student=embedding)": 3.0}
    y = np.eye(K, dtype="float32")[pixels[1]]

    def loss(text):
        keras.utils.set_random_seed(1)
        model = student.build(config_of(path, terms=text, alpha=0.7))
        return float(model.compute_loss(pixels[0], y, model(pixels[0], training=False)))

    single = {t: loss(t.replace("alpha*", "1*")) for t in terms}
    whole = loss("0.5*ce + alpha*logits(temperature=2) + 3*cckd(teacher=average, student=embedding)")
    assert whole == pytest.approx(sum(w * single[t] for t, w in terms.items()), rel=1e-5)


def kept_outputs(config, files, folder) -> str:
    """A record file with a teacher's outputs beside what FILES hold, as the pipeline writes it."""
    say = teacher.given(config).of_records(config.teacher_names, SIZE)
    (folder / "Split-train").mkdir()
    records, outputs = [], {}
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        values = {f"teacher/{name}": value[0] for name, value in say(tf.constant([record])).items()}
        outputs = {name: kept.Output.of(value) for name, value in values.items()}
        records.append(kept.annotated(record, values))
    (folder / kept.FILE).write_text(kept.dumps(outputs))
    return write_records(folder / "Split-train" / "r.gz", records)


def test_cached_outputs_give_the_same_loss(saved, files, tmp_path):
    path = saved(tint_model())
    config = config_of(path, terms="ce + logits + cckd(teacher=average, student=embedding)", seed=5)
    again = kept_outputs(config, files, tmp_path)
    cached = student.adapt(config, [again])
    shapes = {name: output.shape for name, output in kept.loads(cached.cached).items()}
    assert shapes == {"teacher/logits": (K,), "teacher/average": (3,)}
    losses = []
    for settings, file in ((config, files[0]), (cached, again)):
        keras.utils.set_random_seed(1)
        model = student.build(settings)
        x, y = next(iter(student.inputs([file], settings, True)))
        losses.append(float(model.compute_loss(x, y, model(x, training=False))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert model.teacher is None
    with pytest.raises(ConfigError, match="cached outputs of a teacher are of the pictures as they are"):
        student.inputs([again], dataclasses.replace(cached, crop=2), True)


def loss_of(config, file) -> float:
    """The loss of the first batch of a student with fresh weights."""
    keras.utils.set_random_seed(1)
    model = student.build(config)
    x, y = next(iter(student.inputs([file], config, False)))
    return float(model.compute_loss(x, y, model(x, training=False)))


@pytest.mark.slow
def test_a_teacher_of_embeddings_or_of_other_classes_teaches_by_its_features(saved, files):
    pairs = "ce + rkd_distance(teacher=average, student=embedding)"
    last = "ce + rkd_distance(teacher=embedding, student=embedding)"
    wide = saved(tint_model(classes=7))
    # The last layer of three classes is three times the tint, and distances are told up to their scale.
    found = {loss_of(config_of(wide, terms=pairs), files[0])}
    whole = saved(tint_model())
    found |= {loss_of(config_of(whole, terms=last, teacher_output="embedding"), files[0])}
    assert max(found) - min(found) < 1e-5
    config = student.adapt(config_of(whole, terms=last, teacher_output="embedding"), files)
    assert teacher.given(config).known == ["answer", "average", "embedding"]
    with pytest.raises(ConfigError, match="logits asks for the teacher's feature 'logits'; there are answer, av"):
        student.adapt(config_of(whole, terms="ce + logits", teacher_output="embedding"), files)


@pytest.mark.slow
def test_a_teacher_sees_pictures_in_a_size_of_its_own(saved, files, tmp_path):
    of_same = loss_of(config_of(saved(tint_model())), files[0])
    config = config_of(saved(tint_model(size=32)))
    with pytest.raises(ConfigError, match="it takes pictures of 32x32, not 16x16 as the student"):
        student.build(config)
    again = kept_outputs(student.adapt(config, files), files, tmp_path)
    # A tint is the same in any size, but for the rounding of pixels.
    assert loss_of(student.adapt(config, [again]), again) == pytest.approx(of_same, rel=0.02)


class OfRecords(tf.Module):
    """A teacher of the labels' names: what it sees has nothing to do with pixels."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(self, examples):
        label = picture_records.parse(examples)[picture_records.LABEL]
        return {
            "logits": 9.0 * tf.one_hot(label, K),
            "code": tf.one_hot(label, 5),
            "map": tf.one_hot(label, 5)[:, None],
        }


def test_a_teacher_of_records_teaches_what_is_kept(files, tmp_path):
    model = OfRecords()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.serve})
    config = config_of(str(tmp_path / "model"), terms="logits + rkd_distance(teacher=code, student=embedding)")
    assert teacher.given(config).known == ["code", "logits", "map"]
    with pytest.raises(ConfigError, match="it takes records, not 16x16 as the student"):
        student.build(config)
    cached = student.adapt(config, [kept_outputs(student.adapt(config, files), files, tmp_path)])
    assert kept.loads(cached.cached)["teacher/code"] == kept.Output("float32", (5,))
    assert np.isfinite(loss_of(cached, str(tmp_path / "Split-train" / "r.gz")))
    with pytest.raises(ConfigError, match="the teacher's feature 'stage1'; there are code, logits, map"):
        student.adapt(config_of(config.teacher, terms="hint(layer=stage1)"), files)


def test_weights_of_examples_act_on_the_terms_that_tell_them_apart(saved, pixels):
    terms = "0.5*ce + logits + hint(teacher=average, student=embedding) + 3*cckd(teacher=average, student=embedding)"
    model = student.build(config_of(saved(tint_model()), terms=terms))
    x, y = pixels[0], np.eye(K, dtype="float32")[pixels[1]]
    y_pred = model(x, training=False)

    def loss(x, y, y_pred, weights=None):
        return float(model.compute_loss(x, y, y_pred, sample_weight=weights, training=False))

    weights = np.arange(18, dtype="float32") % 3
    ones = [loss(x[n : n + 1], y[n : n + 1], {k: v[n : n + 1] for k, v in y_pred.items()}) for n in range(18)]
    of_all = 3 * float(model.objective[3].loss.compute_loss(*model.term_inputs(x, y, y_pred)[3]))
    assert of_all > 0 and loss(x, y, y_pred) == pytest.approx(np.mean(ones) + of_all, rel=1e-5)  # none of one example
    assert loss(x, y, y_pred, weights) == pytest.approx(np.mean(weights * ones) + of_all, rel=1e-5)


@pytest.mark.parametrize("alike, other", [((0, 1), 2), ((1, 2), 0), ((0, 2), 1)])
def test_the_teacher_groups_the_classes_that_it_finds_alike(saved, files, alike, other):
    model = tint_model()
    kernel, bias = model.get_layer("answer").get_weights()
    kernel[alike, alike[::-1]] = 15.0  # a tint speaks for its class, and half as much for the one that is alike
    model.get_layer("answer").set_weights([kernel, bias])
    path, options = saved(model), {"sampler": "superclass_uniform", "per_class": 3}
    groups = json.loads(student.adapt(config_of(path, **options), files).superclasses)
    assert len(groups) == K and groups[alike[0]] == groups[alike[1]] != groups[other]
    given = student.adapt(config_of(path, superclasses="[4, 4, 7]", **options), files)
    assert json.loads(given.superclasses) == [4, 4, 7]
    assert student.adapt(config_of(path), files).superclasses == ""  # the uniform sampler needs none


def test_the_control_knows_nothing_of_the_teacher(saved):
    one, other = (config_of(saved(tint_model()), terms=t, seed=4) for t in ("ce + logits", "2*logit_regression"))
    assert student.control_of(one) == student.control_of(other)
    control = student.build(student.control_of(one))
    assert control.teacher is None and [w.name for w in control.objective] == ["ce"] and control.config.seed == 4


def test_costs_are_the_known_ones():
    recipe = registry.get("resnet")
    network = recipe.build(recipe.make_config("small", {"classes": 10, "image_size": 32})).network
    assert cost.parameters(network) == 272_474
    assert cost.multiply_adds(network) == 40_813_184  # 41 million in the literature
