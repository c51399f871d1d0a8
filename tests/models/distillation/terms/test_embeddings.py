"""Terms on embeddings against NumPy: consistency, mined relations, their bank; what they refuse; a student by them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract.recipe import ConfigError
from models.distillation import student
from models.distillation.terms import mining
from models.distillation.terms.embeddings import FeatureConsistency, MutualRelations
from tests.models.distillation.terms.prototypes import setting, trained

C, D = 40, 6


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def random():
    return np.random.default_rng(1)


@pytest.fixture
def given(random):
    """Embeddings of teacher and student [12, D], labels [12] of which some are alike."""
    return random.normal(size=(12, D)).astype("float32"), random.normal(size=(12, D)).astype("float32"), \
        np.array([3, 3, 3, 9, 9, 11, 0, 1, 2, 39, 38, 37])  # fmt: skip


def connected(random, **options):
    term = MutualRelations(**options)
    term.connect((None, D), (None, D), (None, C))
    examples = random.normal(size=(120, D)).astype("float32")
    labels = np.arange(120) % C
    term.prepare(lambda: iter([(examples[:70], None, np.eye(C)[labels[:70]]), (examples[70:], None,
                                                                               np.eye(C)[labels[70:]])]))  # fmt: skip
    return term, examples, labels


def test_consistency_is_one_minus_the_cosine(given):
    theirs, own, _ = given
    found = FeatureConsistency().example_losses(theirs, 5 * own)
    np.testing.assert_allclose(found, 1 - (unit(theirs) * unit(own)).sum(1), atol=1e-6)
    np.testing.assert_allclose(found, 0.5 * np.square(unit(theirs) - unit(own)).sum(1), atol=1e-6)
    assert np.abs(FeatureConsistency().example_losses(own, 3 * own)).max() < 1e-6


def test_the_mined_table_is_that_of_all_pairs(random, monkeypatch):
    vectors = unit(random.normal(size=(150, D))).astype("float32")
    vectors[17] = vectors[90]  # equals: the first comes first
    vectors[[5, 60]] = 0  # nobody has seen them
    monkeypatch.setattr(mining, "_ROWS", 64)
    monkeypatch.setattr(mining, "_SORTED", 7)
    table = mining.nearest(vectors, 9)
    for row in range(150):
        cosines = vectors @ vectors[row]
        cosines[[5, 60]] = -2
        order = [n for n in np.argsort(-cosines, kind="stable") if n != row][:9]
        np.testing.assert_allclose(cosines[table[row]], cosines[order], atol=1e-6)
        assert row not in table[row] and len(set(table[row])) == 9 and not {5, 60} & set(table[row])
    with pytest.raises(ValueError, match="150 neighbours among 150 classes"):
        mining.nearest(vectors, 150)


def test_prototypes_are_mean_directions(random):
    rows, labels = random.normal(size=(30, D)), np.arange(30) % 4
    found = mining.prototypes([(rows[:11], labels[:11]), (rows[11:], labels[11:])], 5)
    for label in range(4):
        np.testing.assert_allclose(found[label], unit(unit(rows[labels == label]).sum(0)), atol=1e-6)
    assert not found[4].any()


def test_strangers_are_others_each_once():
    found = mining.strangers(12, 11, 3)
    assert all(sorted(row) == [n for n in range(12) if n != place] for place, row in enumerate(found))
    assert np.array_equal(mining.strangers(12, 4, 3), mining.strangers(12, 4, 3))


@pytest.mark.parametrize("aware", [True, False])
def test_relations_are_those_of_the_formula(random, given, aware):
    theirs, own, labels = given
    term, examples, seen = connected(random, margin=0.03, aware=aware)
    prototypes = mining.prototypes([(examples, seen)], C)
    np.testing.assert_allclose(term.bank, prototypes, atol=1e-6)
    table = mining.nearest(prototypes, 5)  # a twentieth of 40 is 2, at least 5
    assert np.array_equal(term.table, table)
    t, s = unit(theirs), unit(own)

    def cost(a, b):
        return max(a - b + 0.03, 0) if aware else abs(a - b)

    expected = []
    for i, c in enumerate(labels):
        parts = [cost(s[i] @ prototypes[j], t[i] @ prototypes[j]) for j in table[c]]
        parts.append(cost(t[i] @ prototypes[c], s[i] @ prototypes[c]))
        parts += [cost(t[i] @ t[j], s[i] @ t[j]) for j in range(12) if j != i and labels[j] == c]
        expected.append(np.mean(parts))
    np.testing.assert_allclose(term.example_losses(theirs, own, np.eye(C)[labels]), expected, atol=1e-5)


def test_a_student_like_its_teacher_costs_nothing_and_one_that_is_surer_is_let_be(random, given):
    theirs, _, labels = given
    term, _, _ = connected(random)
    y = np.eye(C, dtype="float32")[labels]
    assert np.abs(term.example_losses(theirs, 2 * theirs, y)).max() < 1e-6
    # One that is nearer to its own slot and farther from every neighbour: no loss, and no gradient.
    bank, table = np.array(term.bank), np.array(term.table)
    tried = unit(random.normal(size=(5000, D))).astype("float32")
    farther = (tried @ bank[table[11]].T < unit(theirs[5]) @ bank[table[11]].T).all(1)
    surer = tried[farther & (tried @ bank[11] > unit(theirs[5]) @ bank[11])]
    own = tf.constant(surer[:1])
    with tf.GradientTape() as tape:
        tape.watch(own)
        loss = term.example_losses(theirs[5:6], own, y[5:6])
    gradient = np.array(tape.gradient(loss, own))
    assert len(surer) and float(loss[0]) < 1e-6 and np.abs(gradient).max() < 1e-6


def test_the_bank_moves_for_the_classes_of_the_batch_alone(random, given):
    theirs, own, labels = given
    term, _, _ = connected(random)
    before, y = np.array(term.bank), np.eye(C, dtype="float32")[labels]
    term.update(theirs, own, y)
    for c in range(C):
        expected = unit(unit(theirs[labels == c]).sum(0)) if c in labels else before[c]
        np.testing.assert_allclose(term.bank[c], expected, atol=1e-5)
    teacher = tf.constant(theirs)
    with tf.GradientTape() as tape:
        tape.watch(teacher)
        loss = term.example_losses(teacher, tf.constant(own), y)
    assert tape.gradient(loss, teacher) is None and not term.trainable_variables


def test_random_relations_are_a_control(random):
    term, _, _ = connected(random, relations="random", neighbours=7)
    assert term.table.shape == (C, 7) and all(row not in others for row, others in enumerate(np.array(term.table)))
    mined, _, _ = connected(np.random.default_rng(1), neighbours=7)
    bank = np.array(mined.bank)
    near, far = (np.einsum("cd,cnd->cn", bank, bank[np.array(t.table)]).mean() for t in (mined, term))
    assert near > far + 0.2


@pytest.mark.parametrize("term", [FeatureConsistency(), MutualRelations(neighbours=3, margin=0.1, aware=False)])
def test_terms_are_serialised_and_refuse_other_widths(term):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    assert type(again) is type(term) and again.get_config() == term.get_config()
    with pytest.raises(ValueError, match="the teacher's has 8 numbers, the student's 6"):
        term.connect((None, 8), (None, 6), (None, 3))


@pytest.mark.parametrize("options", [{"neighbours": -1}, {"margin": -0.1}, {"relations": "nearest"}])
def test_arguments_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MutualRelations(**options)


@pytest.mark.slow
def test_a_student_learns_by_them_and_goes_on_after_a_kill(tmp_path):
    config, files = setting(tmp_path)
    options = {
        f: getattr(config, f) for f in ("teacher", "classes", "image_size", "batch_size", "steps", "steps_per_epoch")
    }
    terms = "0.1*ce + fcd + 2*coupleface(neighbours=2)"
    config = student.StudentConfig(**options, student_settings="width=8", terms=terms, optimizer="sgd", seed=5)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(config, files, tmp_path, Stop())
    model = trained(config, files, tmp_path)
    history = json.loads((tmp_path / "logs" / "history.json").read_text())
    assert [e["step"] for e in history] == [3, 6] and history[-1]["fcd"] < history[0]["fcd"]
    term = model.objective[2].loss
    assert np.isclose(np.linalg.norm(np.array(term.bank), axis=1), 1, atol=1e-5).all()
    assert not any("bank" in w.path for w in student.served(model, config)[1].weights)
    with pytest.raises(ConfigError, match="terms: fcd: .*the teacher's has 32 numbers, the student's 16"):
        student.build(student.StudentConfig(**options, student_settings="width=4", terms=terms))
