"""Banks of candidates: what they hold, and the files that are refused."""

import numpy as np
import pytest

from models.contract.recipe import ConfigError
from models.faces import bank

PERSONS = np.array([4, 1, 1, 2, 2, 2, 4, 2])
VECTORS = np.random.default_rng(1).normal(size=(8, 5))
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def test_prototypes_are_mean_directions():
    found = bank.prototypes(VECTORS, PERSONS, 3)
    assert found.persons.tolist() == [[1, 1], [2, 2], [4, 4]]
    for person, row in zip((1, 2, 4), found.embeddings, strict=True):
        mean = VECTORS[person == PERSONS].mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5)
    # Of fewer those with the most pictures, of equal ones the first.
    assert bank.prototypes(VECTORS, PERSONS, 2).persons[:, 0].tolist() == [1, 2]


def test_mixtures_are_of_two_persons():
    found = bank.mixed(VECTORS, PERSONS, 200, 3)
    assert (found.persons[:, 0] != found.persons[:, 1]).all() and set(found.persons.ravel()) == {1, 2, 4}
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-5)
    for row, (first, second) in zip(found.embeddings[:20], found.persons, strict=False):
        # In the plane of a picture of each, between them.
        planes = [np.stack([a, b], axis=1) for a in VECTORS[first == PERSONS] for b in VECTORS[second == PERSONS]]
        fits = [np.linalg.lstsq(plane, row, rcond=None)[:2] for plane in planes]
        shares, (error,) = min(fits, key=lambda fit: fit[1][0])
        assert error < 1e-10 and 0.299 < shares[0] / shares.sum() < 0.701
    assert np.array_equal(found.embeddings, bank.mixed(VECTORS, PERSONS, 200, 3).embeddings)


def test_a_bank_comes_back_and_belongs_to_one_network(tmp_path):
    made = bank.prototypes(VECTORS, PERSONS, 3)
    bank.write(tmp_path / bank.FILE, made, "prototypes", "0badcafe")
    found = bank.read(str(tmp_path / bank.FILE), "0badcafe", 5)
    np.testing.assert_allclose(found.embeddings, made.embeddings, atol=1e-3)
    assert np.array_equal(found.persons, made.persons) and [p.name for p in tmp_path.iterdir()] == [bank.FILE]
    with pytest.raises(
        ConfigError, match="made by the model with the fingerprint 0badcafe; the one that is aligned has f"
    ):
        bank.read(str(tmp_path / bank.FILE), "fefefefe", 5)


GOOD = {"embeddings": VECTORS, "fingerprint": "0badcafe"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "no bank: wanted is an .npz"),
        (b"PK\x03\x04 but no archive", "no bank: wanted is an .npz"),
        (np.eye(3), "no bank: wanted is an .npz"),
        ({"vectors": VECTORS}, "embeddings is missing; it holds vectors"),
        ({"embeddings": VECTORS}, "fingerprint is missing"),
        (GOOD | {"embeddings": VECTORS[:, :4]}, r"embeddings are float64 \[8, 4\]; the model's have 5 numbers"),
        (GOOD | {"embeddings": VECTORS[:0]}, r"embeddings are float64 \[0, 5\]"),
        (GOOD | {"embeddings": VECTORS[0]}, r"embeddings are float64 \[5\]"),
        (GOOD | {"embeddings": VECTORS * np.array([0, np.nan, *[1] * 6])[:, None]}, "2 of 8 embeddings are zero or no"),
        (GOOD | {"embeddings": VECTORS.astype(object)}, "no bank: wanted is an .npz"),
        (GOOD | {"persons": np.arange(3)}, r"persons are int64 \[3\]; wanted is one a row"),
        (GOOD | {"persons": np.arange(8.0)}, "persons are float64"),
    ],
)
def test_files_that_are_none_are_refused_in_a_line(tmp_path, content, said):
    path = tmp_path / "b.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        np.save(path.open("wb"), content)
    with pytest.raises(ConfigError, match=f"bank=.*b.npz: .*{said}") as caught:
        bank.read(str(path), "0badcafe", 5)
    assert "\n" not in str(caught.value)


def test_persons_may_be_known_or_not(tmp_path):
    for persons, found in ((None, [-1, -1]), (np.arange(8), [7, 7]), (np.arange(16).reshape(8, 2), [14, 15])):
        np.savez(tmp_path / "b.npz", **GOOD, **({} if persons is None else {"persons": persons}))
        assert bank.read(str(tmp_path / "b.npz"), "0badcafe", 5).persons[7].tolist() == found
