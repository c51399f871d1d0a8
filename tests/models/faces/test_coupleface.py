"""Students that are networks for faces: options, teachers of every kind, what is compared, anchors."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.distillation import teacher as teachers
from models.distillation.terms import mining
from models.faces import coupleface, decision
from models.faces.margins import margin_loss
from models.publishing import pushed
from models.records import kept
from models.records import pictures as picture_records
from models.training.callbacks import KeepRoute
from tests.models.kinds import KINDS, tiny

RECIPE = registry.get("coupleface")
IDS = [f"{split} {n}" for split, count in (("train", 12), ("validation", 6)) for n in range(count)]


def config_of(**options):
    return RECIPE.make_config("small", tiny(RECIPE) | options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return KINDS["face_student"].write(tmp_path_factory.mktemp("faces"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"terms": "0.1*head"}, "none of them looks at a teacher; a student without one is the recipe face"),
        ({"terms": "fcd + ce"}, "terms: no term 'ce'; there are head, fcd, coupleface, cckd, rkd_distance, rkd_angle"),
        ({"terms": "coupleface(margin=-1)"}, "neither may be below 0"),
        ({"teacher": "resnet"}, "teacher=resnet: no network for faces as they are trained; face is one"),
        ({"teacher": "face", "teacher_settings": "dept=2"}, "face has no option 'dept'; the nearest is 'depth'"),
        ({"anchors": -1}, "anchors=-1: must be at least 0"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(ConfigError) as caught:
        config_of(**options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def saved(folder, **options):
    """A network for faces that was never trained, at a place."""
    recipe = registry.get("face")
    config = recipe.make_config("small", KINDS["face"].tiny | options)
    pushed.save(folder, recipe, config, recipe.build(config), fingerprint="1")
    return str(folder)


def embeddings(path, width=8, ids=IDS, **more):
    np.savez(path, **{"ids": np.array(ids), "embeddings": np.random.default_rng(1).normal(size=(18, width))} | more)
    return str(path)


@pytest.mark.slow
def test_teachers_that_do_not_fit_are_told_in_a_line(tmp_path, files):
    train = [files["train"]]
    other = {"crop": 0, "flip": False}
    bad = np.random.default_rng(1).normal(size=(18, 8))
    bad[3, 2] = np.nan
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    for teacher, options, said in (
        (saved(tmp_path / "wide", embedding=12), {}, "fcd compares embeddings of one width; the teacher's has 12 "
         "numbers, the student's 8; set embedding=12"),
        (saved(tmp_path / "large", image_size=32), {}, "it takes pictures of 32x32, not 16x16 as the student"),
        (saved(tmp_path / "part", central=0.5), {}, "central=1: the teacher sees the central 0.5 of a picture"),
        (str(tmp_path / "none"), {}, "none"),
        (embeddings(tmp_path / "f.npz"), {}, "its embeddings are of pictures as they are: set flip=false"),
        (embeddings(tmp_path / "g.npz"), other, "and run it in the pipeline"),
        (embeddings(tmp_path / "few.npz", ids=IDS[:11], embeddings=bad[:11]), other, "no embedding of 'train 11'"),
        (embeddings(tmp_path / "twice.npz", ids=[*IDS[:17], IDS[0]]), other, "1 of 18 ids stand there twice"),
        (embeddings(tmp_path / "short.npz", ids=IDS[:4]), other, "ids [4] and embeddings [18, 8]; wanted is"),
        (embeddings(tmp_path / "nan.npz", embeddings=bad), other, "1 of 12 answers are not finite numbers"),
        (str(tmp_path / "broken.npz"), other, "no .npz with ids [N] and embeddings [N, D]"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            RECIPE.build(RECIPE.adapt(config_of(teacher=teacher, **options), train))
        assert said in str(caught.value) and "\n" not in str(caught.value), caught.value
    with pytest.raises(ConfigError, match="face: a recipe; outside the pipeline give the path of a model"):
        RECIPE.build(config_of(teacher="face"))
    wide = config_of(teacher=saved(tmp_path / "wide2", embedding=12), terms="cckd + rkd_distance + rkd_angle")
    assert RECIPE.build(wide).objective  # relations within a batch compare any widths
    classifier = registry.get("small_cnn")
    options = classifier.make_config("small", {"classes": 3, "image_size": 16, "width": 4})
    pushed.save(tmp_path / "c", classifier, options, classifier.build(options), fingerprint="1")
    with pytest.raises(ConfigError, match="gives no embedding") as caught:
        teachers.Teacher("x", None, ["logits"]).must_embed()


@pytest.fixture(scope="module")
def built(files):
    config = RECIPE.adapt(config_of(terms="fcd + 0.5*coupleface(neighbours=1) + 0.25*head"), [files["train"]])
    return config, RECIPE.build(config)


def test_the_loss_is_the_weighted_sum(built, files):
    config, model = built
    coupleface.prepare(model, config, Files([files["train"]], [], "", ""))
    x, persons = next(iter(RECIPE.inputs([files["train"]], config, True)))
    given = model(x, training=False)
    teacher = teachers.load(config.teacher).features(["embedding"])
    theirs = np.array(teacher(x)["embedding"])
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    own = np.array(given["embedding"])
    couple = float(keras.ops.mean(model.objective[1].loss.example_losses(theirs, own, persons)))
    head = float(keras.ops.mean(margin_loss(given["logits"], persons, "arcface", config.used_margin, config.scale)))
    wanted = (1 - (own * theirs).sum(1)).mean() + 0.5 * couple + 0.25 * head
    assert float(model.compute_loss(x, persons, given, training=True)) == pytest.approx(wanted, rel=1e-4)
    alone = model.student.compute_loss(x, persons, given, training=False)
    assert float(model.compute_loss(x, persons, given, training=False)) == float(alone)


def test_prototypes_are_the_teachers_of_the_training_as_it_is(built, files):
    config, model = built
    coupleface.prepare(model, config, Files([files["train"]], [], "", ""))
    term = model.objective[1].loss
    _, _, network = pushed.load(config.teacher)
    vectors, persons = decision.embedded(network, [files["train"]], config)
    wanted = mining.prototypes([(vectors, persons)], 3)
    np.testing.assert_allclose(np.array(term.bank), wanted, atol=1e-5)
    assert np.array_equal(np.array(term.table), mining.nearest(wanted, 1))


def test_what_is_kept_of_a_file_is_learned_from(tmp_path, files):
    """Any tool's embeddings by ids: kept in the records, they are the teacher, and make the prototypes."""
    path = embeddings(tmp_path / "any.npz")
    found = teachers.load(path)
    say, records = found.of_records(["embedding"]), list(picture_records.records([files["train"]]))
    rows = say(tf.stack(records))["embedding"]
    with np.load(path) as file:
        by_id = dict(zip(file["ids"], file["embeddings"], strict=True))
    ids = [picture_records.parse(r)[picture_records.ID].numpy().decode() for r in records]
    np.testing.assert_allclose(rows, [by_id[i] for i in ids], rtol=1e-6)
    (tmp_path / "records").mkdir()
    made = tmp_path / "records" / "train.gz"
    with tf.io.TFRecordWriter(str(made), "GZIP") as writer:
        for record, row in zip(records, rows, strict=True):
            writer.write(kept.annotated(record.numpy(), {"teacher/embedding": row}))
    cached = kept.dumps({"teacher/embedding": kept.Output.of(rows[0])})
    options = {"crop": 0, "flip": False, "terms": "fcd + coupleface(neighbours=1)"}
    config = dataclasses.replace(config_of(teacher=path, **options), cached=cached)
    model = RECIPE.build(config)
    assert model.teacher is None
    coupleface.prepare(model, config, Files([str(made)], [], "", ""))
    labels = np.array([int(picture_records.parse(r)[picture_records.LABEL]) for r in records])
    np.testing.assert_allclose(
        np.array(model.objective[1].loss.bank), mining.prototypes([(rows, labels)], 3), atol=1e-5
    )
    x, y = next(iter(RECIPE.inputs([str(made)], config, True)))
    unit = y["teacher/embedding"].numpy() / np.linalg.norm(y["teacher/embedding"], axis=1, keepdims=True)
    theirs, persons = model.taught(x, y)
    np.testing.assert_allclose(theirs, unit, atol=1e-6)
    assert np.array_equal(persons, y["labels"])


@pytest.mark.slow
def test_anchors_are_the_teachers_checkpoints(tmp_path):
    recipe = registry.get("face")
    teacher = recipe.make_config("small", KINDS["face"].tiny)
    keep = KeepRoute(recipe, teacher, str(tmp_path / "route"))
    keep.set_model(recipe.build(teacher))
    for epoch in range(4):
        keep.on_epoch_end(epoch)
    config = config_of(teacher=str(tmp_path / "route"), anchors=2, steps=7)
    found = list(coupleface.phases(config, Files([], [], "", "")))
    assert [phase.steps for phase in found] == [3, 4]
    assert [phase.options["teacher"] for phase in found] == [str(tmp_path / "route" / name) for name in ("2", "4")]
    assert len({phase.options["seed"] for phase in found}) == 2
    first, second = (RECIPE.build(phase.config(config)) for phase in found)
    coupleface.hand_on(second, first)
    assert all(
        np.array_equal(a, b) for a, b in zip(first.student.get_weights(), second.student.get_weights(), strict=True)
    )
    assert RECIPE.build(config).teacher is not None
