"""Every variant of the alignment against NumPy; support sets against brute force."""

import keras
import numpy as np
import pytest
from keras import ops

from models.faces import alignment, verification
from models.faces.alignment import Alignment, Form, aligned, support

RANDOM = np.random.default_rng(1)
COSINES = RANDOM.uniform(-1, 1, 200)
FIRST, SECOND = ((RANDOM.uniform(-0.2, 0.9, 200), RANDOM.uniform(0, 0.2, 200)) for _ in range(2))


def by_hand(mode, s, first, second, strength, average):
    """One pair at a time, as docs/faces.md writes the formulas."""
    (dx, sx), (dy, sy) = first, second
    if mode == "subtract":
        return s - strength / 2 * (dx + dy) + strength * average
    if mode == "ratio":
        return s * max(average, 0.05) / max((dx + dy) / 2, 0.05)
    if mode == "zscore":
        return 0.5 * ((s - dx) / max(sx, 0.01) + (s - dy) / max(sy, 0.01))
    return s - strength * dy + strength * average


@pytest.mark.parametrize("mode", alignment.MODES)
@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_every_variant_is_its_formula(mode, strength):
    form = Form(mode, strength, 0.3)
    wanted = [by_hand(mode, s, (a, b), (c, d), strength, 0.3)
              for s, a, b, c, d in zip(COSINES, *FIRST, *SECOND, strict=True)]  # fmt: skip
    np.testing.assert_allclose(aligned(COSINES, FIRST, SECOND, form), wanted, rtol=1e-12)
    tensors = [[ops.convert_to_tensor(side, "float32") for side in sides] for sides in (FIRST, SECOND)]
    graph = aligned(ops.convert_to_tensor(COSINES, "float32"), *tensors, form, ops)
    np.testing.assert_allclose(ops.convert_to_numpy(graph), wanted, rtol=1e-4, atol=1e-4)
    other_order = aligned(COSINES, SECOND, FIRST, form)
    assert np.allclose(other_order, wanted) == (mode != "one_sided" or not strength)


def test_what_is_equally_crowded_stays_as_it_is():
    alike = np.full(200, 0.3), np.full(200, 0.1)
    for mode in ("subtract", "ratio", "one_sided"):
        np.testing.assert_allclose(aligned(COSINES, alike, alike, Form(mode, 1.0, 0.3)), COSINES, atol=1e-12)
    found = aligned(COSINES, alike, alike, Form("zscore", 1.0, 0.3))
    assert np.array_equal(np.argsort(found), np.argsort(COSINES))
    with pytest.raises(ValueError, match="mode=other: not one of subtract, ratio, zscore, one_sided"):
        aligned(COSINES, alike, alike, Form("other", 1.0, 0.3))


@pytest.fixture(scope="module")
def faces():
    """Unit vectors [40, 8] of 10 persons, candidates [57, 8] with whom they show; some of the persons are in both."""
    random = np.random.default_rng(2)
    vectors, candidates = (random.normal(size=(n, 8)).astype("float32") for n in (40, 57))
    candidates[5] = vectors[3] + 0.01
    vectors, candidates = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, candidates))
    return vectors, np.repeat(np.arange(10), 4), candidates, random.integers(-1, 12, (57, 2)).astype("int32")


def brute_force(faces, count, own, duplicate, radius):
    vectors, persons, candidates, shown = faces
    found = []
    for vector, person in zip(vectors, persons, strict=True):
        cosines = candidates @ vector
        out = (cosines > duplicate) | (own & (shown == person).any(axis=1))
        nearest = np.sort(cosines[~out])[::-1][:count]
        nearest = nearest[(nearest >= radius) | (np.arange(len(nearest)) == 0)]
        found.append((nearest.mean(), nearest.std()))
    return np.array(found).T


@pytest.mark.parametrize(
    ("count", "own", "duplicate", "radius"),
    [(1, False, 1.0, -1.0), (10, False, 0.7, -1.0), (10, True, 0.7, -1.0), (50, True, 1.0, -1.0), (10, True, 0.9, 0.5)],
)
def test_support_sets_are_those_of_brute_force(faces, monkeypatch, count, own, duplicate, radius):
    vectors, persons, *bank = faces
    wanted = brute_force(faces, count, own, duplicate, radius)
    for rows in (4096, 7):  # whole, and in blocks of which the last is smaller
        monkeypatch.setattr(alignment, "ROWS", rows)
        found = support(vectors, *bank, count, persons if own else None, duplicate, radius)
        np.testing.assert_allclose(ops.convert_to_numpy(ops.stack(found)), wanted, atol=1e-5)
    alone = [support(vectors[n : n + 1], *bank, count, persons[n : n + 1] if own else None, duplicate, radius)
             for n in range(3)]  # fmt: skip
    np.testing.assert_allclose(ops.convert_to_numpy(ops.stack(alone))[:, :, 0].T, wanted[:, :3], atol=1e-5)


def test_a_face_without_candidates_has_no_discrepancy(faces):
    vectors, _, candidates, _ = faces
    mean, spread = support(vectors[:1], candidates[:2], np.zeros((2, 2), "int32"), 2, np.array([0]))
    assert keras.ops.convert_to_numpy(ops.stack([mean, spread])).tolist() == [[0.0], [0.0]]


def test_pairs_and_searches_are_aligned(faces):
    vectors, persons, *bank = faces
    mean, spread = (ops.convert_to_numpy(part).astype(float) for part in support(vectors, *bank, 10))
    align = Alignment(Form("subtract", 1.0, 0.2), mean, spread)
    pairs = verification.all_pairs(vectors, persons, align=align)
    rows, columns = np.triu_indices(40, 1)
    cosines = (vectors[rows].astype(float) * vectors[columns]).sum(1)
    np.testing.assert_allclose(pairs.scores, cosines - (mean[rows] + mean[columns]) / 2 + 0.2, atol=1e-6)
    one_sided = Alignment(Form("one_sided", 1.0, 0.2), mean, spread)
    hits, of = verification.first_ranks(vectors, persons, one_sided)
    gallery, probes = np.arange(0, 40, 4), np.setdiff1d(np.arange(40), np.arange(0, 40, 4))
    nearest = np.argmax(vectors[probes] @ vectors[gallery].T - mean[gallery], axis=1)
    assert np.array_equal(hits, nearest == persons[probes]) and np.array_equal(of, persons[probes])
    # A probe's own discrepancy is the same for all of a gallery, and a gallery of one discrepancy changes nothing.
    level = one_sided._replace(mean=np.where(np.arange(40) % 4, mean, 0.4))
    found = [verification.first_ranks(vectors, persons, by)[0] for by in (level, None)]
    assert np.array_equal(*found)
