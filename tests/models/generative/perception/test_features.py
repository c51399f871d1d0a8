"""The feature network: its file, its map, its positions, and that FD orders known distortions rightly."""

import itertools

import numpy as np
import pytest
import skimage.data

from components.evaluation.aggregates import frechet
from models.generative.perception import features, served, training
from tests.claims import feature_distance
from tests.models.examples import photograph

NAMES = ("astronaut", "coffee", "chelsea", "rocket")


@pytest.fixture(scope="module")
def squares():
    """Of photographs that the network was not trained on, uint8 [N, 64, 64, 3]."""
    return feature_distance.squares(getattr(skimage.data, name)() for name in NAMES)[::3]


@pytest.mark.parametrize("distort", feature_distance.STRENGTHS)
def test_the_worse_a_distortion_the_larger_the_distance(squares, distort):
    found = feature_distance.distances(squares, distort, feature_distance.STRENGTHS[distort])
    assert found[0] > 0.01 and all(1.1 * a < b for a, b in itertools.pairwise(found)), found


def test_a_set_has_no_distance_from_itself_and_some_from_another(squares):
    real = served.of_pictures(squares)
    assert frechet.between(real, real) < 1e-6 < 0.1 < frechet.between(real[::2], real[1::2])


def test_a_file_that_is_damaged_or_another_is_refused(tmp_path, monkeypatch):
    features.weights.cache_clear()
    other = {name: value.copy() for name, value in features.weights().items()}
    other["bias0"][0] += 1
    np.savez(tmp_path / "other.npz", **other)
    (tmp_path / "damaged.npz").write_bytes(b"no archive")
    try:
        for name, said in (("other", "this version's is"), ("damaged", "no feature network"), ("none", "No such file")):
            features.weights.cache_clear()
            monkeypatch.setattr(features, "_FILE", tmp_path / f"{name}.npz")
            with pytest.raises(features.FeaturesError, match=said) as error:
                features.weights()
            assert "\n" not in str(error.value)
    finally:
        features.weights.cache_clear()


def test_the_map_is_that_of_the_network_that_was_trained():
    body, held = training.network(), features.weights()
    body.set_weights([held[f"{kind}{n}"].astype(np.float32) for n in range(5) for kind in ("kernel", "bias")])
    x = photograph(48, 64)[None]
    np.testing.assert_allclose(features.feature_map(x), body(x / np.float32(127.5) - 1), atol=1e-3)
    assert 1e5 < sum(v.size for v in held.values()) < 3e5


@pytest.mark.parametrize(("height", "width"), [(64, 64), (200, 136), (40, 71), (9, 8), (1, 300)])
def test_positions_are_spread_over_the_middle_of_what_is_mirrored_up_to_64(height, width):
    picture = photograph(height, width)
    found = features.features(picture).numpy()
    mirrored = np.pad(picture, [(0, max(0, 64 - height)), (0, max(0, 64 - width)), (0, 0)], "symmetric")
    rows, columns = mirrored.shape[:2]
    middle = mirrored[(rows % 8) // 2 :, (columns % 8) // 2 :][: rows - rows % 8, : columns - columns % 8]
    whole = features.feature_map(middle[None])[0].numpy()
    places = [((np.arange(8) + 0.5) * n / 8).astype(int) for n in whole.shape[:2]]
    np.testing.assert_allclose(found, whole[np.ix_(*places)].reshape(-1, 64), atol=1e-4)


@pytest.mark.slow
def test_training_is_the_same_each_time_and_scales_the_features():
    photographs = [skimage.data.astronaut(), skimage.data.coffee()]
    one, again = (training.train(photographs, 2, lambda *_, **__: None) for _ in range(2))
    assert features.fingerprint(one) == features.fingerprint(again)
    body = training.network()
    body.set_weights([one[f"{kind}{n}"].astype(np.float32) for n in range(5) for kind in ("kernel", "bias")])
    draw = np.random.default_rng(5)
    x, of, done = training.batch(photographs, draw)
    assert x.shape == (training.BATCH, 64, 64, 3) and of.max() == 1 and set(done) == set(range(5))
    found = np.array(body(x[done == 0] / 127.5 - 1)).reshape(-1, 64)
    assert 0.5 < found.std() < 2 and abs(found.mean()) < 0.5
