"""Each term against a direct evaluation of its paper's formula in NumPy, and what the formulas promise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from models.distillation.terms.attention import AttentionTransfer
from models.distillation.terms.born_again import BornAgain, ConfidenceWeighted, PermutedDarkKnowledge
from models.distillation.terms.correlation import Correlation, coefficients
from models.distillation.terms.hint import Hint
from models.distillation.terms.logits import DecoupledLogits, LogitRegression, Logits
from models.distillation.terms.relational import RelationalAngle, RelationalDistance

N, K = 7, 5
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def random():
    return np.random.default_rng(3)


@pytest.fixture
def logits(random):
    """The teacher's and the student's, float32 [N, K]."""
    return [(3 * random.normal(size=(N, K))).astype("float32") for _ in range(2)]


@pytest.fixture
def rows(random):
    """Embeddings of different widths, [N, 6] and [N, 4]."""
    return [random.normal(size=(N, d)).astype("float32") for d in (6, 4)]


@pytest.fixture
def maps(random):
    """Maps of different depth and resolution, [N, 8, 8, 6] and [N, 4, 4, 3]."""
    return [random.normal(size=(N, s, s, c)).astype("float32") for s, c in ((8, 6), (4, 3))]


def value(term, teacher, student, y=None):
    return float(term.compute_loss(keras.ops.convert_to_tensor(teacher), keras.ops.convert_to_tensor(student), y=y))


def gradient(term, teacher, student, y=None):
    student = tf.Variable(student)
    with tf.GradientTape() as tape:
        loss = term.compute_loss(tf.constant(teacher), student, y=y)
    return tape.gradient(loss, student).numpy()


@pytest.mark.parametrize("t", [1.0, 4.0, 20.0])
def test_logits_are_t_squared_times_the_forward_divergence(logits, t):
    p, q = (softmax(z / t, axis=1) for z in np.float64(logits))
    forward = t**2 * np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=1))
    backward = t**2 * np.mean(np.sum(q * (np.log(q) - np.log(p)), axis=1))
    assert abs(forward - backward) > 1e-3
    np.testing.assert_allclose(value(Logits(t), *logits), forward, **CLOSE)
    np.testing.assert_allclose(gradient(Logits(t), *logits), t * (q - p) / N, **CLOSE)


def test_the_temperature_hardly_changes_the_size_of_the_gradient(logits):
    sizes = [np.linalg.norm(gradient(Logits(t), *(0.3 * z for z in logits))) for t in (2.0, 8.0)]
    assert 0.5 < sizes[0] / sizes[1] < 2


@pytest.fixture
def labels(random):
    return np.eye(K, dtype="float32")[random.integers(0, K, N)]


@pytest.mark.parametrize("alpha, beta", [(1.0, 8.0), (0.5, 0.0), (0.0, 2.0)])
@pytest.mark.parametrize("t", [1.0, 4.0])
def test_decoupled_logits_weigh_target_and_others_apart(logits, labels, t, alpha, beta):
    def parts(z):
        p, is_target = softmax(np.float64(z) / t, axis=1), labels.astype(bool)
        target = p[is_target]
        return np.stack([target, 1 - target], 1), p[~is_target].reshape(N, K - 1) / (1 - target)[:, None]

    (two, others), (own_two, own_others) = map(parts, logits)
    target, among = ((p * np.log(p / q)).sum(1) for p, q in ((two, own_two), (others, own_others)))
    expected = t**2 * np.mean(alpha * target + beta * among)
    found = value(DecoupledLogits(t, alpha, beta), *logits, y=tf.constant(labels))
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_the_decoupled_parts_add_up_to_plain_distillation(logits, labels):
    """With the weight that they have there: what the teacher leaves to the other classes."""
    left = 1 - (softmax(logits[0], axis=1) * labels).sum(1)
    sides = [tf.constant(z) for z in logits]
    target, among = (DecoupledLogits(1.0, *w).example_losses(*sides, tf.constant(labels)) for w in ((1, 0), (0, 1)))
    np.testing.assert_allclose(target + left * among, Logits(1.0).example_losses(*sides), **CLOSE)


def test_a_sure_teacher_still_tells_of_the_others():
    teacher, student = np.array([[30.0, 1.0, -1.0]], "float32"), np.array([[30.0, -1.0, 1.0]], "float32")
    y = tf.constant([[1.0, 0.0, 0.0]])
    assert value(Logits(1.0), teacher, student) < 1e-6
    assert value(DecoupledLogits(1.0), teacher, student, y=y) > 1.0
    gone = gradient(DecoupledLogits(1.0), 1000 * teacher, 1000 * student, y=y)
    assert np.isfinite(gone).all()


def test_standardised_logits_forget_their_size_alone(logits):
    teacher, student = logits
    term = Logits(2.0, standardise=True)
    found = value(term, teacher, student)
    np.testing.assert_allclose(value(term, 5 * teacher + 3, 0.1 * student - 2), found, rtol=1e-4)
    z = [(side - side.mean(1, keepdims=True)) / side.std(1, keepdims=True) / 2.0 for side in np.float64(logits)]
    p, q = (softmax(side, axis=1) for side in z)
    np.testing.assert_allclose(found, 4 * np.mean((p * np.log(p / q)).sum(1)), **CLOSE)
    assert np.isfinite(gradient(term, teacher, np.ones_like(student))).all()  # all alike


def test_logit_regression(logits):
    np.testing.assert_allclose(value(LogitRegression(), *logits), np.mean((logits[0] - logits[1]) ** 2), **CLOSE)


def test_hint_is_the_square_behind_its_regressor(rows, maps):
    term = Hint()
    term.connect((None, 6), (None, 4))
    kernel, bias = (np.array(w) for w in term.regressor.weights)
    np.testing.assert_allclose(value(term, *rows), np.mean((rows[1] @ kernel + bias - rows[0]) ** 2), **CLOSE)
    term = Hint()
    term.connect(maps[0].shape, maps[1].shape)
    kernel = np.array(term.regressor.kernel)[0, 0]
    pooled = maps[0].reshape(N, 4, 2, 4, 2, 6).mean((2, 4))
    np.testing.assert_allclose(value(term, *maps), np.mean((maps[1] @ kernel - pooled) ** 2), **CLOSE)
    with pytest.raises(ValueError, match="widths 6 and 4 differ"):
        Hint(regressor=False).connect((None, 6), (None, 4))
    with pytest.raises(ValueError, match="must be a multiple"):
        Hint().connect((None, 8, 8, 3), (None, 5, 5, 3))


def test_attention(maps):
    def direction(a):
        q = (np.float64(a) ** 2).sum(-1)
        q = q.reshape(N, 4, q.shape[1] // 4, 4, q.shape[2] // 4).mean((2, 4)).reshape(N, -1)
        return q / np.linalg.norm(q, axis=1, keepdims=True)

    np.testing.assert_allclose(
        value(AttentionTransfer(), *maps), np.mean((direction(maps[0]) - direction(maps[1])) ** 2), **CLOSE
    )
    assert np.isfinite(gradient(AttentionTransfer(), maps[0], 0 * maps[1])).all()


def huber(x):
    return np.where(abs(x) < 1, x**2 / 2, abs(x) - 0.5)


def test_relational_distance(rows):
    def distances(x):
        d = np.linalg.norm(np.float64(x)[:, None] - x[None], axis=-1)
        return d / d[d > 0].mean()

    expected = huber(distances(rows[0]) - distances(rows[1])).mean()
    np.testing.assert_allclose(value(RelationalDistance(), *rows), expected, **CLOSE)
    np.testing.assert_allclose(value(RelationalDistance(), rows[0], 9 * rows[0]), 0, atol=1e-5)


def test_relational_angle(rows):
    def angles(x):
        x, n = np.float64(x), len(x)
        result = np.zeros((n, n, n))
        for j in range(n):
            for i in range(n):
                for k in range(n):
                    if i != j and k != j:
                        a, b = x[i] - x[j], x[k] - x[j]
                        result[j, i, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        return result

    np.testing.assert_allclose(
        value(RelationalAngle(), *rows), huber(angles(rows[0]) - angles(rows[1])).mean(), **CLOSE
    )


@pytest.mark.parametrize("term", [RelationalDistance(), RelationalAngle()])
def test_relations_of_equal_embeddings_have_a_finite_gradient(term, rows):
    twins = np.repeat(rows[1][:1], N, axis=0)
    half = np.concatenate([rows[1][:4], rows[1][:3]])
    for student in (twins, half, 0 * twins):
        assert np.isfinite(gradient(term, rows[0], student)).all()
        assert np.isfinite(value(term, rows[0], student))
    assert np.isfinite(gradient(term, twins, rows[1])).all()


def kernels(x, kernel, gamma, order):
    x = np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    if kernel == "bilinear":
        return cosines
    if kernel == "rbf":
        return np.exp(-gamma * ((x[:, None] - x[None]) ** 2).sum(-1))
    factorials = np.cumprod([1, *range(1, order + 1)])
    return sum(np.exp(-2 * gamma) * (2 * gamma) ** p / factorials[p] * cosines**p for p in range(order + 1))


@pytest.mark.parametrize(
    "kernel, gamma, order",
    [
        ("bilinear", 1, 1),
        ("rbf", 0.4, 1),
        ("rbf", 2.0, 1),
        ("taylor_rbf", 0.1, 1),
        ("taylor_rbf", 0.4, 2),
        ("taylor_rbf", 1.0, 6),
    ],
)
def test_correlation(rows, kernel, gamma, order):
    term = Correlation(kernel=kernel, gamma=gamma, order=order)
    a, b = (kernels(x, kernel, gamma, order) for x in rows)
    np.testing.assert_allclose(np.array(term.matrix(rows[0])), a, **CLOSE)
    np.testing.assert_allclose(value(term, *rows), np.mean((a - b) ** 2), **CLOSE)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0].astype("float32")
    np.testing.assert_allclose(value(term, rows[0], 3 * rows[0] @ turned), 0, atol=1e-5)


@pytest.mark.parametrize("gamma, known", [(0.4, (0.191, 0.047, 0.009)), (1.0, (0.594, 0.323, 0.143))])
def test_the_series_comes_closer_to_the_kernel_with_every_power(gamma, known):
    """The largest error over all cosines; the first values of gamma 0.4 are published re-computations."""
    cosines = np.linspace(-1, 1, 201)
    exact = np.exp(-2 * gamma * (1 - cosines))
    errors = []
    for order in range(1, 9):
        series = sum(w * cosines**p for p, w in enumerate(coefficients(gamma, order)))
        errors.append(np.abs(series - exact).max())
    assert all(b < a for a, b in zip(errors, errors[1:], strict=False))
    np.testing.assert_allclose(errors[:3], known, atol=1e-3)
    bounds = [coefficients(gamma, order + 1)[-1] * np.exp(2 * gamma) for order in range(1, 9)]
    assert all(e <= b for e, b in zip(errors, bounds, strict=True))
    assert errors[-1] < 1e-3


def test_a_short_series_is_warned_of():
    with pytest.warns(UserWarning, match="leaves out up to"):
        Correlation(gamma=2.0, order=2)
    with pytest.raises(ValueError, match="kernel=cubic: not one of"):
        Correlation(kernel="cubic")


def test_born_again_is_soft_cross_entropy(logits):
    p, log_q = softmax(np.float64(logits[0]), axis=1), log_softmax(np.float64(logits[1]), axis=1)
    np.testing.assert_allclose(value(BornAgain(), *logits), -np.mean((p * log_q).sum(1)), **CLOSE)
    np.testing.assert_allclose(gradient(BornAgain(), *logits), (np.exp(log_q) - p) / N, **CLOSE)


def test_confidence_weights_have_a_mean_of_one(logits, random):
    y = np.eye(K, dtype="float32")[random.integers(0, K, N)]
    w = np.array(ConfidenceWeighted.weights(logits[0]))
    confidence = softmax(np.float64(logits[0]), axis=1).max(1)
    np.testing.assert_allclose(w, confidence / confidence.mean(), **CLOSE)
    assert abs(w.mean() - 1) < 1e-6
    entropies = -(y * log_softmax(np.float64(logits[1]), axis=1)).sum(1)
    np.testing.assert_allclose(value(ConfidenceWeighted(), *logits, y), (w * entropies).mean(), **CLOSE)
    np.testing.assert_allclose(value(ConfidenceWeighted(), 0 * logits[0], logits[1], y), entropies.mean(), **CLOSE)
    with pytest.raises(ValueError, match="needs the labels"):
        ConfidenceWeighted().compute_loss(*logits)


@pytest.mark.parametrize("permutation", ["sample", "global"])
def test_dark_knowledge_is_permuted_and_the_top_kept(logits, permutation):
    term, p = PermutedDarkKnowledge(permutation), softmax(np.float64(logits[0]), axis=1)
    first, second = (np.array(term.targets(logits[0])) for _ in range(2))
    for targets in (first, second):
        np.testing.assert_allclose(np.sort(targets), np.sort(p), **CLOSE)
        assert (targets.argmax(1) == p.argmax(1)).all()
    assert np.array_equal(first, second) == (permutation == "global")
    assert np.abs(first - p).max() > 1e-3
    two = logits[0][:, :2]  # nothing to permute
    np.testing.assert_allclose(np.array(term.targets(two)), softmax(np.float64(two), axis=1), **CLOSE)
    expected = -(first * log_softmax(np.float64(logits[1]), axis=1)).sum(1).mean()
    if permutation == "global":
        np.testing.assert_allclose(value(term, *logits), expected, **CLOSE)


def test_every_place_of_the_dark_knowledge_is_reached_equally_often():
    term = PermutedDarkKnowledge()
    logits = np.tile(np.array([[4, 3, 2, 1.0]], "float32"), (3000, 1))
    targets = np.array(term.targets(logits))
    share = [(np.isclose(targets[:, place], softmax(logits[0])[1])).mean() for place in (1, 2, 3)]
    np.testing.assert_allclose(share, 1 / 3, atol=0.04)


TERMS = {
    "logits": lambda: Logits(2.0), "standardised": lambda: Logits(2.0, standardise=True),
    "regression": LogitRegression, "hint": lambda: Hint("map", "map"),
    "hint of rows": lambda: Hint("rows", "rows"), "attention": lambda: AttentionTransfer("map", "map"),
    "distance": lambda: RelationalDistance("rows", "rows"), "angle": lambda: RelationalAngle("rows", "rows"),
    "cckd": lambda: Correlation("rows", "rows"), "born again": BornAgain, "dkpp": PermutedDarkKnowledge,
}  # fmt: skip


def network(width: int) -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(width, 3, activation="relu", name="map")(pixels)
    x = keras.layers.GlobalAveragePooling2D(name="rows")(x)
    return keras.Model(pixels, keras.layers.Dense(K)(x))


def test_all_terms_train_in_the_distiller_of_keras(random):
    """In one Distiller, as users combine them; the regressors' weights are found and trained."""
    terms = [make() for make in TERMS.values()]
    distiller = keras.distillation.Distiller(network(6), network(4), distillation_losses=terms, student_loss_weight=0.5)
    distiller.compile("adam", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    regressors = [w for t in terms if isinstance(t, Hint) for w in t.regressor.trainable_weights]
    assert len(regressors) == 4
    assert {id(w) for w in regressors} <= {id(w) for w in distiller.trainable_variables}
    before = [np.array(w) for w in regressors]
    x = random.uniform(size=(16, 8, 8, 3)).astype("float32")
    y = np.eye(K, dtype="float32")[random.integers(0, K, 16)]
    history = distiller.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["distillation_loss"]).all()
    assert all((np.array(w) != b).any() for w, b in zip(regressors, before, strict=True))


@pytest.mark.parametrize("name", [*TERMS, "decoupled"])
def test_terms_are_serialised(name):
    term = (TERMS | {"decoupled": lambda: DecoupledLogits(2.0, 0.5, 4.0)})[name]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    assert type(again) is type(term) and again.get_config() == term.get_config()


def test_a_missing_layer_is_named():
    with pytest.raises(ValueError, match="has no layer 'stage9'; it has .*map.*rows"):
        Correlation("stage9", "rows").validate_model_compatibility(network(4), network(4))
